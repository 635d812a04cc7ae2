"""What every part of the settings shares."""

from __future__ import annotations

from typing import ClassVar

from coti.core.errors import ConfigError


def require(holds: bool, message: str) -> None:
    """Raise ConfigError with this message unless it holds."""
    if not holds:
        raise ConfigError(message)


class Strict:
    """Makes pydantic refuse unknown keys in the settings' dataclasses."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
