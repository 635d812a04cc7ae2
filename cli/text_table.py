"""A table in the terminal, of whatever strangers wrote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["print_table", "said"]


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a head; a missing value is a dash."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False)
    table.columns[-1].overflow = "fold"
    for row in rows:
        table.add_row(*map(said, row))
    # Into a pipe nothing is cut; rich would take it for 80 columns.
    width = None if sys.stdout.isatty() else 250
    # Whoever registers writes names and tags: brackets and colons in them are only that.
    console = Console(soft_wrap=True, width=width, markup=False, emoji=False, highlight=False)
    console.print(table)


def said(value: Any) -> str:
    """A value as a table of ours writes it."""
    if isinstance(value, list):
        return ", ".join(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
