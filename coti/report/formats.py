"""How values are written for people: numbers short, missing ones as a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from coti.metrics.table import MISSING, Metric

__all__ = [
    "as_number",
    "format_duration",
    "format_metric",
    "format_number",
    "format_readable",
    "format_value",
]


def as_number(value: Any) -> float | None:
    """A finite float, or None for what is missing, not a number or not finite."""
    if value is None or isinstance(value, str | bytes | bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def format_number(value: Any, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, whole ones with thousands' commas."""
    number = as_number(value)
    if number is None:
        return MISSING
    if number == 0:
        return "0"
    if isinstance(value, Integral):
        return f"{int(number):,}"
    size = int(f"{abs(number):.{digits - 1}e}".partition("e")[2])  # after rounding: 9.996 is 10.0
    if size >= 15 or size < -4:
        mantissa, exponent = f"{number:.{digits - 1}e}".split("e")
        return (
            f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
        )
    return f"{number:,.{max(0, digits - 1 - size)}f}"


def format_readable(value: Any, digits: int = 3) -> str:
    """A score or a count as :func:`format_number`; one that rounds to nothing is 0.0.

    >>> format_readable(1.1e-11), format_readable(9.1), format_readable(1069)
    ('0.0', '9.10', '1,069')
    """
    number = as_number(value)
    if number is not None and 0 < abs(number) < 0.0005:
        return "0.0"
    return format_number(value, digits)


def format_metric(metric: Metric, values: Mapping[str, Any]) -> str:
    """A metric of a cycle as :meth:`Metric.format` writes it, with its interval."""
    ends = [as_number(values.get(name)) for name in metric.interval or ()]
    return metric.format(as_number(values.get(metric.name)), ends=ends)


def format_duration(value: Any) -> str:
    """Seconds as ``42 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    number = as_number(value)
    if number is None:
        return MISSING
    if number < 9.95:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_value(value: Any) -> str:
    """Any value of a config or lineage, as a person would type it."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(format_value(item) for item in value) or MISSING
    return str(value)
