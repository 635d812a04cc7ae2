"""The cycles of a run as a table for the terminal and as ``cycles.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from coti.core.whole_files import write_whole
from coti.loop.record import CYCLE_COLUMNS
from coti.metrics.table import METRICS, MISSING, Metric, compared
from coti.report.formats import as_number, format_metric

__all__ = ["cycles_table", "shown_metrics", "write_cycles_csv"]

Cycle = Mapping[str, Any]
WIDE = 120
"""Columns of a terminal that a table should fit into."""


def cycles_table(cycles: Sequence[Cycle], *, kept_cycle: int | None = None) -> str:
    """A line a cycle for the end of a run, with as many intervals as fit into 120 columns.

    The cycles have the keys of :data:`coti.loop.record.CYCLE_COLUMNS`; a missing value is a dash,
    and the line of ``kept_cycle`` has a star. No line ends in spaces.
    """
    named = [metric.name for metric in shown_metrics(cycles) if metric.interval]
    for count in range(len(named), -1, -1):
        lines = _lines(cycles, kept_cycle, intervals=named[:count])
        if max(map(len, lines)) <= WIDE:
            break
    if kept_cycle is not None:
        lines.append("* the cycle that is kept")
    return "\n".join(lines)


def _lines(
    cycles: Sequence[Cycle], kept_cycle: int | None, intervals: Collection[str]
) -> list[str]:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    metrics = shown_metrics(cycles)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    headings = ["\ncycle ", "pool\nleft", "\npicked", "X_T\nsize"]
    headings += [_heading(metric, cycles, metric.name in intervals) for metric in metrics]
    for heading in (*headings, "lr\nstage", "\nseconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cycle in cycles:
        star = "*" if cycle["cycle"] == kept_cycle else " "
        table.add_row(
            f"{cycle['cycle']}{star}",
            *(_count(cycle.get(name)) for name in ("pool_left", "picked", "train_size")),
            *(_cell(metric, cycle, metric.name in intervals) for metric in metrics),
            *(_count(cycle.get(name)) for name in ("lr_stage", "seconds")),
        )
    buffer = io.StringIO()
    # Wide enough for all of it: a long line is better than a cut one.
    console = Console(
        file=buffer, width=10_000, color_system=None, markup=False, emoji=False, highlight=False
    )
    if console.measure(table).maximum > WIDE:
        table.padding = 0
    console.print(table)
    return [line.rstrip() for line in buffer.getvalue().splitlines() if line.strip()]


def write_cycles_csv(cycles: Sequence[Cycle], path: str | Path) -> Path:
    """Write ``cycles.csv``, UTF-8: :data:`coti.loop.record.CYCLE_COLUMNS`, then a row a cycle.

    Numbers have full precision; a missing value (absent, None) is an empty cell; other keys are
    left out. The file appears whole or not at all.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CYCLE_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(cycles)
    write_whole(Path(path), text.getvalue().encode())
    return Path(path)


def shown_metrics(cycles: Sequence[Cycle]) -> list[Metric]:
    """The metrics with a column of their own: those that some cycle has."""
    return compared(
        name for cycle in cycles for name in METRICS if as_number(cycle.get(name)) is not None
    )


def _cell(metric: Metric, cycle: Cycle, interval: bool) -> str:
    text = format_metric(metric, cycle)
    return text if interval else text.partition(" [")[0]


def _heading(metric: Metric, cycles: Sequence[Cycle], interval: bool) -> str:
    """The short label in two lines; R-precision's says among how many, where that is one number."""
    label = (metric.short or metric.label).replace("fd_", "fd ")
    first, _, second = (label if interval else label.replace(" [interval]", "")).partition(" ")
    candidates = {cycle.get(f"{metric.name}_candidates") for cycle in cycles} - {None}
    if len(candidates) == 1:
        second = f"top1/{candidates.pop():.0f}"
    return f"{first}\n{second}" if second else f"\n{first}"


def _count(value: Any) -> str:
    number = as_number(value)
    return MISSING if number is None else f"{number:,.0f}"
