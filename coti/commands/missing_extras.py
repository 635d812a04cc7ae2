"""A library that is not installed, and the extra that brings it."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

from coti.core.errors import ConfigError
from coti.core.extras import install_extra

__all__ = ["missing_extra", "need_extra"]


def missing_extra(module: str) -> str | None:
    """A sentence with the remedy; None where no extra of ours brings the module."""
    package, extra = _extras().get(module.partition(".")[0].lower(), ("", ""))
    if not extra:
        return None
    return f"{package} is needed for this and not installed: {install_extra(extra)}."


def need_extra(extra: str) -> None:
    """Refuse before anything is done.

    Raises:
        ConfigError: a library of the extra is not installed.
    """
    for module, (_, brought_by) in _extras().items():
        if brought_by == extra and find_spec(module) is None:
            raise ConfigError(missing_extra(module))


@cache
def _extras() -> dict[str, tuple[str, str]]:
    """Module -> package, and the first extra that brings it; none where coti isn't installed.

    Reads the package's own metadata. Modules are taken to be called as their packages are.
    """
    try:
        lines = requires("coti") or []
    except PackageNotFoundError:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for line in lines:
        match = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if match:
            module = re.sub(r"[-.]", "_", match[1]).lower()
            found.setdefault(module, (match[1], match[2]))
    return found
