"""A library that is not installed, and the extra that brings it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

__all__ = ["missing_extra"]


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """A sentence with the remedy; None where no extra of ours brings the module."""
    module = (error.name or "").partition(".")[0]
    try:
        lines = requires("coti") or []
    except PackageNotFoundError:  # run from a folder without being installed
        return None
    for line in lines:
        package = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if package and extra and re.sub(r"[-.]", "_", package[0]).lower() == module.lower():
            return (
                f"This needs {package[0]}, which is not installed: "
                f"`pip install 'coti[{extra[1]}]'`."
            )
    return None
