"""What every part of the settings shares."""

from __future__ import annotations

import math
from typing import ClassVar

from coti.core.errors import ConfigError


def require(holds: bool, message: str) -> None:
    """Raise ConfigError with this message unless it holds."""
    if not holds:
        raise ConfigError(message)


class Strict:
    """Makes pydantic refuse unknown keys in the settings' dataclasses, and each of them refuse what
    is no number: a comparison with NaN never holds, so that it would go through every other check.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    _section: ClassVar[str] = ""
    """What stands before the keys in a run file, with its dot."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            for number in value if isinstance(value, tuple) else (value,):
                require(
                    not isinstance(number, float) or math.isfinite(number),
                    f"{self._section}{name} is {value}: finite numbers only.",
                )

    def _at_least(self, least: float, *names: str) -> None:
        """Raise ConfigError where one of these fields is below ``least``."""
        for name in names:
            value = getattr(self, name)
            require(value >= least, f"{self._section}{name} is {value}: at least {least:g}.")

    def _above_zero(self, *names: str) -> None:
        """Raise ConfigError where one of these fields is 0 or less."""
        for name in names:
            value = getattr(self, name)
            require(value > 0, f"{self._section}{name} is {value}: more than 0.")

    def _within(self, low: float, high: float, meaning: str, *names: str) -> None:
        """Raise ConfigError where one of these fields is not from ``low`` to ``high``."""
        for name in names:
            value = getattr(self, name)
            require(
                low <= value <= high,
                f"{self._section}{name} is {value}: {meaning} from {low:g} to {high:g}.",
            )
