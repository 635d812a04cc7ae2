"""The cycles of a run as a table for the terminal and as ``cycles.csv``."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coti.loop.record import CYCLE_COLUMNS
from coti.metrics.table import METRICS, Metric, compared
from coti.report.formats import MISSING, as_number, format_metric, is_integer

__all__ = ["cycles_table", "shown_metrics", "write_cycles_csv"]

Cycle = Mapping[str, Any]


def cycles_table(
    cycles: Sequence[Cycle], *, best_cycle: int | None = None, width: int = 120
) -> str:
    """A line a cycle for the end of a run, closer together where it is over ``width`` wide.

    The cycles have the keys of :data:`coti.loop.record.CYCLE_COLUMNS`; a missing value is a dash,
    and the line of ``best_cycle`` has a star. No line ends in spaces.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    metrics = shown_metrics(cycles)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    headings = ["\ncycle ", "pool\nleft", "\npicked", "X_T\nsize"]
    headings += [_heading(metric, cycles) for metric in metrics]
    for heading in (*headings, "lr\nstage", "\nseconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cycle in cycles:
        number = _whole(cycle.get("cycle"))
        star = "*" if best_cycle is not None and number == best_cycle else " "
        table.add_row(
            f"{MISSING if number is None else number}{star}",
            _integer(cycle.get("pool_left")),
            _integer(cycle.get("picked")),
            _integer(cycle.get("train_size")),
            *(format_metric(metric, cycle) for metric in metrics),
            _text(cycle.get("lr_stage")),
            _fixed(cycle.get("seconds"), 0),
        )
    buffer = io.StringIO()
    # Wide enough for all of it: a long line is better than a cut one.
    console = Console(
        file=buffer, width=10_000, color_system=None, markup=False, emoji=False, highlight=False
    )
    if console.measure(table).maximum > width:
        table.padding = 0
    console.print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines() if line.strip()]
    if best_cycle is not None:
        lines.append("* the cycle that is kept")
    return "\n".join(lines)


def write_cycles_csv(cycles: Sequence[Cycle], path: str | Path) -> Path:
    """Write ``cycles.csv``, UTF-8: :data:`coti.loop.record.CYCLE_COLUMNS`, then a row a cycle.

    Numbers have full precision; a missing value (absent, None, not finite) is an empty cell; other
    keys are left out. The file appears whole or not at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", errors="replace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CYCLE_COLUMNS)
        for cycle in cycles:
            writer.writerow([_written(cycle.get(column)) for column in CYCLE_COLUMNS])
    os.replace(part, path)
    return path


def shown_metrics(cycles: Sequence[Cycle]) -> list[Metric]:
    """The metrics with a column of their own: those that some cycle has."""
    return compared(
        name for cycle in cycles for name in METRICS if as_number(cycle.get(name)) is not None
    )


def _heading(metric: Metric, cycles: Sequence[Cycle]) -> str:
    """The short label in two lines; R-precision's says among how many, where that is one number."""
    first, _, second = (metric.short or metric.label).replace("fd_", "fd ").partition(" ")
    candidates = {_whole(cycle.get(f"{metric.name}_candidates")) for cycle in cycles} - {None}
    if len(candidates) == 1:
        second = f"top1/{candidates.pop()}"
    return f"{first}\n{second}" if second else f"\n{first}"


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    number = as_number(value)
    if number is None:
        return ""
    return str(int(value)) if is_integer(value) else repr(number)


def _whole(value: Any) -> int | None:
    number = as_number(value)
    return None if number is None else int(number)


def _integer(value: Any) -> str:
    number = _whole(value)
    return MISSING if number is None else f"{number:,}"


def _fixed(value: Any, digits: int) -> str:
    number = as_number(value)
    return MISSING if number is None else f"{number:,.{digits}f}"


def _text(value: Any) -> str:
    return MISSING if value is None or value != value else str(value)
