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
    """A line a cycle, at most ``width`` characters wide, for the end of a run.

    The cycles have the keys of :data:`coti.loop.record.CYCLE_COLUMNS`; a missing value is a dash,
    and the line of ``best_cycle`` has a star. No line ends in spaces.
    """
    metrics, left_out = shown_metrics(cycles), []
    lines, fits = _lines(cycles, metrics, best_cycle, width)
    while not fits and metrics:
        left_out.insert(0, metrics.pop(_least_telling(metrics)))
        lines, fits = _lines(cycles, metrics, best_cycle, width)
    if best_cycle is not None:
        lines.append("* the cycle that is kept")
    if left_out:
        names = ", ".join(metric.label for metric in left_out)
        lines.append(f"Too wide for this table, in cycles.csv and the report: {names}.")
    return "\n".join(lines)


def _least_telling(metrics: Sequence[Metric]) -> int:
    """The last of those that the cycles can't be compared by, or else the last of all."""
    inner = [i for i, each in enumerate(metrics) if each.steers and each.name != "phi_ref"]
    return inner[-1] if inner else len(metrics) - 1


def _lines(
    cycles: Sequence[Cycle], metrics: Sequence[Metric], best_cycle: int | None, width: int
) -> tuple[list[str], bool]:
    """The table's lines, and whether they hold all of it."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

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
    console = Console(
        file=buffer, width=width, color_system=None, markup=False, emoji=False, highlight=False
    )
    wide = console.options.update_width(10_000)
    if console.measure(table, options=wide).maximum > width:
        table.padding = 0
    console.print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines() if line.strip()]
    return lines, console.measure(table, options=wide).maximum <= width


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
    """The label in two lines; R-precision's says among how many, where that is one number."""
    if metric.name == "r_precision":
        candidates = {_whole(cycle.get("r_precision_candidates")) for cycle in cycles} - {None}
        return f"R-prec\ntop1/{candidates.pop()}" if len(candidates) == 1 else "\nR-prec"
    first, _, second = metric.label.replace("fd_", "fd ").partition(" ")
    second = second or ("[interval]" if metric.interval else "")
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
