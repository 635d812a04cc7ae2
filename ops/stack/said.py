"""What a look at a component says, and how long a server has to answer it."""

from __future__ import annotations

from typing import Literal

__all__ = ["SECONDS", "Said", "State"]

State = Literal["ok", "FAIL", "skip"]
Said = tuple[State, str]
"""What was seen, and the remedy where there is need of one."""
SECONDS = 5
