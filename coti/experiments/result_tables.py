"""CSV and Markdown tables of an experiment's cells."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from coti.experiments.comparison import PAPER, agreeing_concepts, compare
from coti.experiments.result_rows import COLUMNS, Cell, summarize

__all__ = [
    "comparison_lines",
    "counted",
    "table_lines",
    "write_csv",
    "write_cycles_csv",
    "write_markdown",
]

METRICS: tuple[tuple[str, str, int], ...] = (
    ("fd_judge", "fd_judge ↓", 3),
    ("fd_efficientnet", "fd_efficientnet ↓", 3),
    ("kid", "KID ↓", 4),
    ("r_precision", "R-precision ↑", 3),
    ("selection_precision", "selection precision ↑", 3),
    ("reconstruction", "reconstruction ↑", 3),
    ("editability", "editability ↑", 3),
    ("image_steps", "image-steps", 0),
    ("seconds", "seconds", 0),
)
"""Column, heading and decimals of the Markdown tables."""

CYCLE_COLUMNS = (
    "concept",
    "strategy",
    "seed",
    "cycle",
    "train_size",
    "image_steps",
    "gamma_aes",
    "gamma_con",
    "phi",
    "phi_ref",
    "fd_judge",
    "r_precision",
    "selection_precision",
)
"""Columns of the CSV with a row a cycle."""


def write_csv(cells: Sequence[Cell], path: Path, columns: Sequence[str] = COLUMNS) -> None:
    """A row a cell; what is not defined is empty."""
    _write_rows([_named(cell, cell.row) for cell in cells], path, columns)


def write_cycles_csv(cells: Sequence[Cell], path: Path) -> None:
    """A row a cell and cycle: the values that the curves of figures 5 and 6 are means of."""
    rows = [_named(cell, row) for cell in cells for row in cell.cycles]
    _write_rows(rows, path, CYCLE_COLUMNS)


def _named(cell: Cell, row: Mapping[str, object]) -> dict[str, object]:
    return {**row, "concept": cell.concept, "strategy": cell.strategy, "seed": cell.seed}


def _write_rows(rows: Sequence[Mapping[str, object]], path: Path, columns: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_written(row.get(name)) for name in columns])


def _written(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def counted(number: int, thing: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def table_lines(cells: Sequence[Cell], concept: str | None = None) -> list[str]:
    """A Markdown table, a line a strategy: mean ± standard deviation over seeds.

    Args:
        cells: the cells, of one concept or of several.
        concept: the concept to show; none: the mean over all of them.
    """
    strategies = list(dict.fromkeys(cell.strategy for cell in cells))
    shown = [
        metric for metric in METRICS if any(not math.isnan(cell.value(metric[0])) for cell in cells)
    ]
    lines = ["| |" + "|".join(heading for _, heading, _ in shown) + "|"]
    lines.append("|---|" + "---|" * len(shown))
    for name in strategies:
        texts = []
        for metric, _, digits in shown:
            found = summarize(cells, name, metric, concept)
            texts.append(_shown(found.mean, found.std, digits))
            if metric == "kid" and found.count:
                low, high = (summarize(cells, name, f"kid_{k}", concept).mean for k in
                             ("low", "high"))  # fmt: skip
                texts[-1] += f" [{low:.4f}, {high:.4f}]"
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return lines


def _shown(mean: float, std: float, digits: int) -> str:
    if math.isnan(mean):
        return "–"
    spread = "" if math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"


def comparison_lines(cells: Sequence[Cell]) -> list[str]:
    """The paper's numbers beside ours, computed the same way, on both distances."""
    judge = compare(cells, "fd_judge")
    second = compare(cells, "fd_efficientnet")
    rows = [
        ("FD as a share of TI (RAND)'s", "fd_of_random", "{:.3f}", "below 0.5"),
        ("FD as a share of TI (FULL)'s", "fd_of_full", "{:.3f}", "below 0.5"),
        ("R-precision over TI (RAND), points", "points_over_random", "{:+.1f}", "at least +20"),
        ("R-precision over TI (FULL), points", "points_over_full", "{:+.1f}", "at least +20"),
        ("gap from RAND to oracle closed, FD", "fd_gap_closed", "{:.0%}", "at least 90 %"),
        ("gap from RAND to oracle closed, R-precision", "r_gap_closed", "{:.0%}", "at least 90 %"),
        ("image-steps to TI (FULL)'s R-precision, share", "steps_to_full", "{:.2f}", "at most 1/3"),
    ]  # fmt: skip
    lines = [
        "| COTI | the paper (FID) | ours (fd_judge) | ours (fd_efficientnet) | wanted |",
        "|---|---|---|---|---|",
    ]
    for heading, name, form, wanted in rows:
        paper = form.format(PAPER[name]) if name in PAPER else "–"
        values = [form.format(getattr(each, name)) for each in (judge, second)]
        if name.startswith(("points", "r_gap", "steps")):
            values[1] = ""
        lines.append(f"| {heading} | {paper} | {values[0]} | {values[1]} | {wanted} |")
    lines.append(
        f"| better than both on | {PAPER['better_concepts']} of {PAPER['concepts']} | "
        f"{judge.better_concepts} of {judge.concepts} | "
        f"{second.better_concepts} of {second.concepts} | all |"
    )
    agree = agreeing_concepts(
        cells, "fd_judge", "fd_efficientnet", ("TI (RAND)", "TI (FULL)", "COTI")
    )
    lines.append(
        f"| both distances order RAND, FULL and COTI alike | – | {agree} of {judge.concepts} | "
        "| 7 of 8 |"
    )
    return lines


def write_markdown(
    cells: Sequence[Cell],
    path: Path,
    title: str,
    facts: Sequence[str],
    images: Sequence[str] = (),
    compared: bool = False,
) -> None:
    """The experiment's page, written whole by the command that ran it.

    Args:
        cells: all cells.
        path: the file.
        title: its heading.
        facts: sentences on how it was measured.
        images: names of PNG files beside it.
        compared: whether the paper's Table 1 stands beside it.
    """
    concepts = list(dict.fromkeys(cell.concept for cell in cells))
    seeds = sorted({cell.seed for cell in cells})
    averaged = f"{counted(len(concepts), 'concept')}, {counted(len(seeds), 'seed')}"
    lines = [f"# {title}", "", "Written by the command that measured it; do not edit.", ""]
    lines += [*facts, ""]
    lines += [f"![{name}]({name})" for name in images]
    if images:
        lines.append("")
    lines += [f"## Mean over {averaged}", ""]
    lines += table_lines(cells)
    if compared:
        lines += ["", "## Beside the paper", "", *comparison_lines(cells)]
    if len(concepts) > 1:
        for concept in concepts:
            own = [cell for cell in cells if cell.concept == concept]
            lines += ["", f"## {concept}", "", *table_lines(own, concept)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
