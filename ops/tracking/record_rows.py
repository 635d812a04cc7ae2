"""A cycle's record as JSON: what is not a number there becomes null."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from coti.loop.controller import CycleRecord

__all__ = ["from_row", "to_row"]


def to_row(record: CycleRecord) -> dict[str, Any]:
    """Plain JSON values; NaN is None."""
    row = dataclasses.asdict(record)
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }


def from_row(row: dict[str, Any]) -> CycleRecord:
    """The record again."""
    values: dict[str, Any] = {
        key: math.nan if value is None else value for key, value in row.items()
    }
    return CycleRecord(**values)
