"""The cycles of a run as a table for the terminal and as ``cycles.csv``."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coti.report.formats import MISSING, as_number, format_number

__all__ = ["CYCLE_COLUMNS", "cycles_table", "write_cycles_csv"]

CYCLE_COLUMNS = (
    "cycle",
    "pool_left",
    "picked",
    "train_size",
    "gamma_aes",
    "gamma_con",
    "phi",
    "phi_ref",
    "lr_stage",
    "fd_judge",
    "kid",
    "kid_low",
    "kid_high",
    "r_precision",
    "r_precision_candidates",
    "selection_precision",
    "seconds",
    "kid_train",
    "kid_kept",
)
"""The columns of ``cycles.csv``, in order."""

COUNTS = {"cycle", "pool_left", "picked", "train_size", "lr_stage", "r_precision_candidates"}

Cycle = Mapping[str, Any]


def cycles_table(
    cycles: Sequence[Cycle], *, best_cycle: int | None = None, width: int = 120
) -> str:
    """A line a cycle, at most ``width`` characters wide, for the end of a run.

    The cycles have the keys of :data:`CYCLE_COLUMNS`; a missing value is a dash, and the line of
    ``best_cycle`` has a star. No line ends in spaces.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    candidates = {_whole(cycle.get("r_precision_candidates")) for cycle in cycles} - {None}
    r_precision = "R-prec"
    if len(candidates) == 1:
        r_precision += f"\ntop1/{candidates.pop()}"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in (
        "\ncycle ",
        "pool\nleft",
        "\npicked",
        "X_T\nsize",
        "S_aes\nγ",
        "S_con\nγ",
        "\nφ",
        "\nφ_ref",
        "KID\nX_T",
        "lr\nstage",
        "fd\njudge",
        "KID\n[interval]",
        r_precision,
        "sel.\nprec.",
        "\nseconds",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for cycle in cycles:
        number = _whole(cycle.get("cycle"))
        star = "*" if best_cycle is not None and number == best_cycle else " "
        table.add_row(
            f"{MISSING if number is None else number}{star}",
            _integer(cycle.get("pool_left")),
            _integer(cycle.get("picked")),
            _integer(cycle.get("train_size")),
            _fixed(cycle.get("gamma_aes"), 2),
            _fixed(cycle.get("gamma_con"), 2),
            _fixed(cycle.get("phi"), 2),
            _fixed(cycle.get("phi_ref"), 2),
            _fixed(cycle.get("kid_train"), 3),
            _text(cycle.get("lr_stage")),
            format_number(cycle.get("fd_judge")),
            kid_with_interval(cycle),
            _fixed(cycle.get("r_precision"), 3),
            _fixed(cycle.get("selection_precision"), 3),
            _fixed(cycle.get("seconds"), 0),
        )
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, color_system=None, markup=False, emoji=False, highlight=False
    )
    if console.measure(table, options=console.options.update_width(10_000)).maximum > width:
        table.padding = 0
    console.print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines() if line.strip()]
    if best_cycle is not None:
        lines.append("* the cycle that is kept")
    return "\n".join(lines)


def write_cycles_csv(cycles: Sequence[Cycle], path: str | Path) -> Path:
    """Write ``cycles.csv``: a header of :data:`CYCLE_COLUMNS`, a row a cycle, UTF-8.

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
            writer.writerow([_cell(column, cycle.get(column)) for column in CYCLE_COLUMNS])
    os.replace(part, path)
    return path


def kid_with_interval(cycle: Cycle) -> str:
    """``0.012 [0.010, 0.014]`` of a cycle's ``kid``, ``kid_low`` and ``kid_high``."""
    kid = as_number(cycle.get("kid"))
    low, high = as_number(cycle.get("kid_low")), as_number(cycle.get("kid_high"))
    if kid is None:
        return MISSING
    if low is None or high is None:
        return format_number(kid)
    return f"{format_number(kid)} [{format_number(low, 2)}, {format_number(high, 2)}]"


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    number = as_number(value)
    if number is None:
        return ""
    if column in COUNTS and number == int(number):
        return str(int(number))
    return repr(number)


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
