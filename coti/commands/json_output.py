"""``--json``: what a script reads of a command, in one form everywhere.

One JSON value on standard output and nothing else there: a list where there may be several, an
object for one. Keys are words in snake_case, metrics are under their names and unrounded, sizes in
bytes, times in UTC as ISO 8601; what is not known is null. A key may be added, none changes its
meaning.
"""

from __future__ import annotations

import json
import math
from typing import Any

import click

__all__ = ["json_option", "print_json"]

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value, for scripts.")


def print_json(value: Any) -> None:
    """Print a value; what is no number, as JSON has none of these, is null.

    >>> print_json({"fd_judge": float("nan"), "version": 3})
    {
     "fd_judge": null,
     "version": 3
    }
    """
    click.echo(json.dumps(_plain(value), indent=1, allow_nan=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
