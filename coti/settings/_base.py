"""What every part of the settings shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import ClassVar

from coti.core.errors import ConfigError

LARGEST = 2**63 - 1
"""What every library can take for a whole number."""


def require(holds: bool, message: str) -> None:
    """Raise ConfigError with this message unless it holds."""
    if not holds:
        raise ConfigError(message)


class Strict:
    """Makes pydantic refuse unknown keys in the settings' dataclasses, and each of them refuse what
    nothing could be made of: a number that is none, since a comparison with NaN never holds, so
    that it would go through every other check; one past all use, which ends in a hang or an
    overflow far from here; an empty name, which stands for the current folder.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    _section: ClassVar[str] = ""
    """What stands before the keys in a run file, with its dot."""
    MOST: ClassVar[Mapping[str, int]] = {}
    """How far from 0 a number may be, by its key: generous, for what no :meth:`_within` bounds."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            key = f"{self._section}{each.name}"
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, int | float):
                    self._check_size(key, one, self.MOST.get(each.name, LARGEST))
                require(
                    one != "" or each.default == "",
                    f"{key} is empty: give it a value, or leave it out.",
                )

    @staticmethod
    def _check_size(key: str, number: float, most: int) -> None:
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"{key} is {number}: finite numbers only.")
        require(number <= most, f"{key} is too large: at most {most:,}.")
        require(number >= -most, f"{key} is too small: at least {-most:,}.")

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
