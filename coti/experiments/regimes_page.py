"""What a grid over regimes found, for a reader who doubts it: a page and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coti.core.whole_files import whole_file, write_whole
from coti.experiments.claims import LEVEL, Claim, Verdict, is_ratio, judged
from coti.experiments.paired import Estimate, Pair, estimate
from coti.experiments.regime_rows import (
    COSTS,
    MEASURED,
    OF_TRAINING_SET,
    RegimeRun,
    metric_of,
    values_of,
)
from coti.experiments.result_tables import WRITTEN, counted
from coti.metrics.table import MISSING

__all__ = ["GridPlan", "draw_grid", "write_grid_page"]

DOTS_PER_INCH = 110
_IN_THE_FIGURE = "Distances with intervals, a panel a regime, a mark a row; the tables say them"


@dataclass(frozen=True)
class GridPlan:
    """What was to be run, in the words and the order of its file."""

    title: str
    regimes: Mapping[str, str]
    """A regime's name, and a sentence on it."""
    trained: tuple[str, ...]
    """Regimes in which embeddings are trained; in the others X_T alone is measured."""
    rows: tuple[str, ...]
    simple: tuple[str, ...]
    """Rows of which a claim's best simple row is one."""
    claims: tuple[Claim, ...]
    runs: int
    """Of the whole grid."""


def write_grid_page(
    plan: GridPlan, runs: Sequence[RegimeRun], path: Path, facts: Sequence[str]
) -> None:
    """The page, and beside it its figure; whatever runs there are by now."""
    figure = path.with_suffix(".png")
    drawn = draw_grid(plan, runs, figure)
    lines = [f"# {plan.title}", "", WRITTEN, ""]
    lines += [*_how_far(plan, runs), *facts, ""]
    if drawn:
        lines += [f"![{_IN_THE_FIGURE}]({figure.name})", ""]
    verdicts = judged(plan.claims, runs, plan.trained, plan.simple)
    lines += ["## What was claimed before, and what holds", "", *_claim_lines(verdicts)]
    lines += ["", "## Trained", "", *_trained_note()]
    for regime in plan.trained:
        own = [run for run in runs if run.regime == regime and run.trained]
        lines += ["", f"### {regime}", "", plan.regimes[regime], ""]
        lines += _table(own, regime, plan.rows, MEASURED)
    lines += ["", "## X_T itself", "", *_training_set_note()]
    for regime, about in plan.regimes.items():
        own = [run for run in runs if run.regime == regime]
        lines += ["", f"### {regime}, X_T", "", about, ""]
        lines += _table(own, regime, plan.rows, OF_TRAINING_SET)
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _how_far(plan: GridPlan, runs: Sequence[RegimeRun]) -> list[str]:
    lines = [f"All {plan.runs} runs of the plan are done."]
    if len(runs) < plan.runs:
        lines = [f"**{len(runs)} of {plan.runs} runs are done: what is below may change.**"]
    mixed = [row for row in plan.rows if len({run.code for run in runs if run.row == row}) > 1]
    if mixed:
        lines.append(
            f"**Some runs are of other code or models than the rest (column `code` of the CSV): "
            f"of {', '.join(mixed)}.**"
        )
    return lines


def _trained_note() -> list[str]:
    return [
        "The embedding that each row's X_T teaches, on the judges' features. Means over concepts "
        "and seeds (of distances geometric ones), and 95 % intervals for other concepts and seeds "
        "of the kind: wide, since concepts differ. Rows are compared above, pair by pair.",
    ]


def _training_set_note() -> list[str]:
    return [
        "The images that a row would train on, seeds among them, before any training: the share of "
        "clean ones among those that it added, and what perfect training on them could reach.",
    ]


def _table(
    runs: Sequence[RegimeRun], regime: str, rows: Sequence[str], metrics: Sequence[str]
) -> list[str]:
    present = {name for run in runs for name in run.values}
    shown = [metric_of(name) for name in metrics if name in present]
    named = [
        row
        for row in rows
        if any(run.row == row and run.values.keys() & set(metrics) for run in runs)
    ]
    if not shown or not named:
        return ["Nothing yet."]
    lines = ["| | runs |" + "|".join(metric.heading for metric in shown) + "|"]
    lines.append("|---|---|" + "---|" * len(shown))
    for row in named:
        count = sum(run.row == row for run in runs)
        texts = []
        for metric in shown:
            value, *ends = _mean(values_of(runs, regime, row, metric.name), metric.name)
            texts.append(metric.format(value, ends=() if metric.name in COSTS else ends))
        lines.append(f"| {row} | {count} | " + " | ".join(texts) + " |")
    return lines


def _mean(values: Mapping[Pair, float], metric: str) -> list[float]:
    """A mean, of distances the geometric one, and where it has one its interval."""
    if not is_ratio(metric) or min(values.values(), default=0.0) <= 0:
        found = estimate(values)
        return [found.value, *_ends(found)]
    found = estimate({pair: math.log(value) for pair, value in values.items()})
    return [math.exp(value) for value in (found.value, *_ends(found))]


def _ends(found: Estimate) -> tuple[float, ...]:
    return () if math.isnan(found.error) else (found.low, found.high)


def _claim_lines(verdicts: Sequence[Verdict]) -> list[str]:
    tests = sum(verdict.claim.kind != "gap" for verdict in verdicts)
    if not verdicts:
        return ["No claim was written down for this grid."]
    lines = [
        f"Pairs are runs of one concept and seed, on the same pool, seeds and noise. Intervals: a "
        f"bootstrap of concepts, and of seeds within them. p: corrected after Holm for all {tests} "
        f"tests, below {LEVEL} holds. *Detectable* is the least true difference that the pairs of "
        f"this test would show in four of five repetitions, uncorrected and at the level of the "
        f"strictest of {tests} tests: a claim that fails may be true and smaller than that.",
        "",
    ]
    for claim in dict.fromkeys(verdict.claim for verdict in verdicts):
        own = [verdict for verdict in verdicts if verdict.claim == claim]
        lines += [f"**{claim.says}** {_summed_up(own)}", ""]
        lines.append("| regime | against | of | better by | pairs | p | corrected | detectable | |")
        lines.append("|---|---|---|---|---|---|---|---|---|")
        lines += [_verdict_line(verdict, tests) for verdict in own]
        lines.append("")
    return lines[:-1]


def _summed_up(verdicts: Sequence[Verdict]) -> str:
    said = [verdict.holds for verdict in verdicts]
    if len(said) == 1:
        return {True: "Holds.", False: "**Does not hold.**", None: "Not yet to be told."}[said[0]]
    open_ = said.count(None)
    waiting = f", {counted(open_, 'test')} not yet to be told" if open_ else ""
    return f"{said.count(True)} of {counted(len(said), 'test')} hold{waiting}."


def _verdict_line(verdict: Verdict, tests: int) -> str:
    found, gap = verdict.found, verdict.claim.kind == "gap"
    detectable = MISSING
    if gap:
        by = _share(found)
    else:
        by = _gain(found, is_ratio(verdict.metric))
        if not math.isnan(found.error):
            both = (found.detectable(level) for level in (LEVEL, LEVEL / max(1, tests)))
            detectable = ", ".join(_size(size, is_ratio(verdict.metric)) for size in both)
    said = {True: "yes", False: "no", None: MISSING}[verdict.holds]
    return (
        f"| {verdict.regime} | {verdict.against} | {metric_of(verdict.metric).label} | {by} | "
        f"{found.pairs} | {_p(verdict.p)} | {_p(verdict.corrected)} | {detectable} | {said} |"
    )


def _gain(found: Estimate, ratio: bool) -> str:
    """A distance's ratio, as the other's over the row's, or a difference."""
    values = [found.value, *_ends(found)]
    if any(math.isnan(value) for value in values):
        return MISSING
    texts = [f"{math.exp(v):.2f}" if ratio else f"{v:+.3f}" for v in values]
    ends = f" [{', '.join(texts[1:])}]" if texts[1:] else ""
    return f"{'×' if ratio else ''}{texts[0]}{ends}"


def _share(found: Estimate) -> str:
    values = [found.value, *_ends(found)]
    if any(math.isnan(value) for value in values):
        return MISSING
    texts = [f"{100 * value:.0f}" for value in values]
    return f"{texts[0]} % closed" + (f" [{', '.join(texts[1:])}]" if texts[1:] else "")


def _size(size: float, ratio: bool) -> str:
    return f"×{math.exp(size):.2f}" if ratio else f"{size:.3f}"


def _p(p: float) -> str:
    return MISSING if math.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def draw_grid(
    plan: GridPlan,
    runs: Sequence[RegimeRun],
    path: Path,
    metrics: Sequence[str] = ("fd_ssl", "xt_fd_ssl"),
) -> bool:
    """A panel a regime, a mark a row: trained above, X_T below. False where there is nothing."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panels = [
        [(regime, metric) for regime in plan.regimes if _marks(plan, runs, regime, metric)]
        for metric in metrics
    ]
    panels = [line for line in panels if line]
    if not panels:
        return False
    wide = max(map(len, panels))
    size = (1.6 + 2.2 * wide, 0.5 + (0.7 + 0.24 * len(plan.rows)) * len(panels))
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(len(panels), wide, squeeze=False, sharey=True)
    for line, axes_of_line in zip(panels, places, strict=True):
        for axes in axes_of_line[len(line) :]:
            axes.set_visible(False)
        for (regime, metric), axes in zip(line, axes_of_line, strict=False):
            for row, (value, *ends) in _marks(plan, runs, regime, metric).items():
                place = plan.rows.index(row)
                color = "#5b7fa6" if row in plan.simple else "#b3541e"
                axes.plot([value], [place], "o", color=color, markersize=4)
                axes.plot(ends, [place] * len(ends), color=color, linewidth=1)
            axes.set_title(regime, fontsize=9, parse_math=False)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(metric_of(metric).label, fontsize=8)
            axes.set_yticks(range(len(plan.rows)), plan.rows)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
    places[0][0].invert_yaxis()
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH)
    return True


def _marks(
    plan: GridPlan, runs: Sequence[RegimeRun], regime: str, metric: str
) -> dict[str, list[float]]:
    """By row, a distance's mean and its interval."""
    found = {row: _mean(values_of(runs, regime, row, metric), metric) for row in plan.rows}
    return {row: values for row, values in found.items() if values[0] > 0}
