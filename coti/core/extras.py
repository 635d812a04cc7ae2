"""What installs a library that only some uses need."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["install_extra"]


def install_extra(extra: str) -> str:
    """The command, of the wheel that this is, with an extra of its metadata.

    No index has the wheel: `make wheel` builds it.
    """
    try:
        number = version("coti")
    except PackageNotFoundError:
        number = "VERSION"
    return f"`pip install 'dist/coti-{number}-py3-none-any.whl[{extra}]'` (of `make wheel`)"
