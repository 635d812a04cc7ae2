"""CSV and Markdown tables of an experiment's runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from coti.core.whole_files import whole_file, write_whole
from coti.experiments.comparison import COTI, FULL, PAPER, RANDOM, agreeing_concepts, compare
from coti.experiments.result_rows import COLUMNS, FinishedRun, summarize
from coti.loop.record import CYCLE_COLUMNS
from coti.metrics.table import METRICS, MISSING, Metric

__all__ = [
    "comparison_lines",
    "counted",
    "table_lines",
    "write_csv",
    "write_cycles_csv",
    "write_markdown",
]

COSTS = (
    Metric("image_steps", "image-steps", "images through the UNet", digits=0),
    Metric("seconds", "seconds", "of the whole run", digits=0),
)
"""Columns beside the metrics."""


def write_csv(runs: Sequence[FinishedRun], path: Path) -> None:
    """A row a run; what is not defined is empty."""
    _write_rows([_named(run, run.row) for run in runs], path, COLUMNS)


WRITTEN = "Written by the command that measured it; do not edit."
"""On every page of ours, which therefore may be written again."""


def write_cycles_csv(runs: Sequence[FinishedRun], path: Path) -> None:
    """A row a run and cycle: the values that the curves of figures 5 and 6 are means of."""
    rows = [_named(run, row) for run in runs for row in run.cycles]
    _write_rows(rows, path, ("concept", "strategy", "seed", *CYCLE_COLUMNS))


def _named(run: FinishedRun, row: Mapping[str, object]) -> dict[str, object]:
    return {**row, "concept": run.concept, "strategy": run.strategy, "seed": run.seed}


def _write_rows(rows: Sequence[Mapping[str, object]], path: Path, columns: Sequence[str]) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
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


def table_lines(runs: Sequence[FinishedRun], concept: str | None = None) -> list[str]:
    """A Markdown table, a line a strategy: mean ± standard deviation over seeds.

    Of one concept, or the mean over all of them.
    """
    strategies = list(dict.fromkeys(run.strategy for run in runs))
    metrics = [metric for metric in METRICS.values() if not metric.of and not metric.steers]
    shown = [
        metric
        for metric in (*metrics, *COSTS)
        if any(not math.isnan(run.value(metric.name)) for run in runs)
    ]
    lines = ["| |" + "|".join(metric.heading for metric in shown) + "|"]
    lines.append("|---|" + "---|" * len(shown))
    for name in strategies:
        texts = []
        for metric in shown:
            found = summarize(runs, name, metric.name, concept)
            ends = [summarize(runs, name, each, concept).mean for each in metric.interval or ()]
            texts.append(metric.format(found.mean, spread=found.std, ends=ends))
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return lines


def comparison_lines(runs: Sequence[FinishedRun]) -> list[str]:
    """The paper's numbers beside ours, computed the same way, on both distances."""
    judge = compare(runs, "fd_judge")
    second = compare(runs, "fd_efficientnet")
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
        numbers = [float(getattr(each, name)) for each in (judge, second)]
        values = [MISSING if math.isnan(number) else form.format(number) for number in numbers]
        if name.startswith(("points", "r_gap", "steps")):
            values[1] = ""
        lines.append(f"| {heading} | {paper} | {values[0]} | {values[1]} | {wanted} |")
    better = agree = MISSING
    if not math.isnan(second.fd_of_random):
        better = f"{second.better_concepts} of {second.concepts}"
        alike = agreeing_concepts(runs, "fd_judge", "fd_efficientnet", (RANDOM, FULL, COTI))
        agree = f"{alike} of {judge.concepts}"
    lines.append(
        f"| better than both on | {PAPER['better_concepts']} of {PAPER['concepts']} | "
        f"{judge.better_concepts} of {judge.concepts} | {better} | all |"
    )
    lines.append(f"| both distances order RAND, FULL and COTI alike | – | {agree} | | 7 of 8 |")
    return lines


def write_markdown(
    runs: Sequence[FinishedRun],
    path: Path,
    title: str,
    facts: Sequence[str],  # sentences on how it was measured
    images: Sequence[str] = (),  # names of PNG files beside it
    compared: bool = False,  # whether the paper's Table 1 stands beside it
) -> None:
    """The experiment's page, written whole by the command that ran it."""
    concepts = list(dict.fromkeys(run.concept for run in runs))
    seeds = sorted({run.seed for run in runs})
    averaged = f"{counted(len(concepts), 'concept')}, {counted(len(seeds), 'seed')}"
    lines = [f"# {title}", "", WRITTEN, ""]
    lines += [*facts, ""]
    lines += [f"![{title}: {Path(name).stem.replace('_', ' ')}]({name})" for name in images]
    if images:
        lines.append("")
    lines += [f"## Mean over {averaged}", ""]
    lines += table_lines(runs)
    if compared:
        lines += ["", "## Beside the paper", "", *comparison_lines(runs)]
    if len(concepts) > 1:
        for concept in concepts:
            own = [run for run in runs if run.concept == concept]
            lines += ["", f"## {concept}", "", *table_lines(own, concept)]
    write_whole(path, ("\n".join(lines) + "\n").encode())
