"""TOML as trainers read it: texts, numbers, lists; Python's standard library reads it only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["toml_lines"]


def toml_lines(values: Mapping[str, Any]) -> str:
    """Keys and values, one a line; no tables.

    >>> print(toml_lines({"name": 'a "b"', "rate": 1e-4, "on": True, "sides": [1, 2]}), end="")
    name = "a \\"b\\""
    rate = 0.0001
    on = true
    sides = [1, 2]
    """
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # A text of JSON is one of TOML, but for the one sign that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
