"""Geometry of the report's line charts; ``templates/charts.html.j2`` draws them as inline SVG.

Everything is computed in the units of one fixed view box, so that the page needs no script and
no plotting library to show its curves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from coti.metrics.table import METRICS, Metric, compared
from coti.report.formats import as_number, format_number

__all__ = ["Chart", "Line", "line_chart", "score_charts", "step_charts"]

WIDTH, HEIGHT = 520.0, 288.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 24.0, 48.0

TITLES = {10.0: "Scores of the generations", 1.0: "Precisions"}
"""Of the charts of metrics of one scale."""

Point = tuple[float, float | None, str]
"""x, y or None for a gap, text on hover; an empty text draws no marker."""


@dataclass(frozen=True)
class Line:
    """One curve: a colour class of the style sheet, a marker, and points with hover texts."""

    name: str
    style: str
    points: Sequence[Point]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    stepped: bool = False
    faint: bool = False


@dataclass
class Chart:
    """What the template draws, in view box units; ``y`` grows downwards."""

    title: str
    subtitle: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM
    x_label: str = "cycle"
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    rules: list[tuple[float, str]] = field(default_factory=list)
    """Vertical lines with their label."""
    bands: list[tuple[str, str]] = field(default_factory=list)
    """Style and path of an interval."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    """name, style, faint, path, marks: list of (x, y, text)."""


def line_chart(
    title: str,
    subtitle: str,
    lines: Sequence[Line],
    *,
    y_range: tuple[float, float] | None = None,
    logarithmic: bool = False,
    x_label: str = "cycle",
    x_ticks: Sequence[tuple[float, str]] | None = None,
    rules: Sequence[tuple[float, str]] = (),
) -> Chart | None:
    """Lay out lines in one chart; None where there is no value to show.

    ``y_range`` fixes the axis, else it holds 0 and every value (or, logarithmic, every value).
    """
    xs = [x for line in lines for x, y, _ in line.points if y is not None]
    ys = [y for line in lines for _, y, _ in line.points if y is not None]
    ys += [y for line in lines for bounds in (line.low, line.high) for y in bounds if y is not None]
    if not xs:
        return None
    if logarithmic and min(ys) <= 0:
        logarithmic = False
    if logarithmic:
        ticks = _log_ticks(min(ys), max(ys))
    else:
        ticks = _ticks(*(y_range or (min(0.0, *ys), max(0.0, *ys))))
    bottom, top = (ticks[0], ticks[-1]) if y_range is None else y_range
    first, last = min(xs), max(xs)
    if x_ticks is not None:
        first, last = min(first, *(x for x, _ in x_ticks)), max(last, *(x for x, _ in x_ticks))
    if first == last:
        first, last = first - 0.5, last + 0.5

    def across(x: float) -> float:
        return round(LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def up(y: float) -> float:
        if logarithmic:
            share = math.log(y / bottom) / math.log(top / bottom)
        else:
            share = (y - bottom) / (top - bottom)
        share = min(1.0, max(0.0, share))
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    chart = Chart(title, subtitle, x_label=x_label)
    chart.y_ticks = [(up(y), _tick_label(y)) for y in ticks]
    chart.x_ticks = [(across(x), text) for x, text in x_ticks or _whole_ticks(first, last)]
    chart.rules = [(across(x), text) for x, text in rules]
    for line in lines:
        points = [(across(x), None if y is None else up(y)) for x, y, _ in line.points]
        if line.low and line.high:
            band = _band(line, across, up)
            if band:
                chart.bands.append((line.style, band))
        marks = [
            (x, y, text)
            for (x, y), (_, _, text) in zip(points, line.points, strict=True)
            if y is not None and text
        ]
        chart.lines.append(
            {
                "name": line.name,
                "style": line.style,
                "faint": line.faint,
                "path": _path(points, line.stepped),
                "marks": marks,
            }
        )
    return chart


def score_charts(cycles: Sequence[Mapping[str, Any]], kept_cycle: int | None) -> list[Chart]:
    """Metrics over the cycles: those of one scale together, each distance alone."""
    numbers = [float(row["cycle"]) for row in cycles]
    rules = [] if kept_cycle is None else [(float(kept_cycle), "kept")]
    ticks = _thinned(numbers)

    def column(name: str) -> list[float | None]:
        return [as_number(row.get(name)) for row in cycles]

    def line(metric: Metric, style: str) -> Line:
        points = [
            (x, y, f"cycle {x:g}: {metric.label} {metric.format(y)}")
            for x, y in zip(numbers, column(metric.name), strict=True)
        ]
        low, high = metric.interval or ("", "")
        return Line(metric.label, style, points, low=column(low), high=column(high))

    shown = compared(
        name for row in cycles for name in METRICS if as_number(row.get(name)) is not None
    )
    charts = []
    scales = {metric.scale for metric in shown if metric.scale is not None}
    for scale in sorted(scales, reverse=True):
        own = [metric for metric in shown if metric.scale == scale]
        lines = [line(metric, style) for metric, style in zip(own, cycle("abcd"), strict=False)]
        subtitle = f"0 to {scale:g}, {_direction(own)}{_candidates(cycles) if scale == 1 else ''}"
        title = TITLES.get(scale, f"Metrics from 0 to {scale:g}")
        charts.append(
            line_chart(title, subtitle, lines, y_range=(0.0, scale), x_ticks=ticks, rules=rules)
        )
    for metric in shown:
        if metric.scale is not None:
            continue
        values = [y for y in column(metric.name) if y is not None and y > 0]
        wide = metric.interval is None and bool(values) and max(values) / min(values) > 12
        charts.append(
            line_chart(
                metric.label,
                f"{metric.about}; {metric.better} is better" + ("; logarithmic" if wide else ""),
                [line(metric, "d" if metric.interval is None else "b")],
                logarithmic=wide,
                x_ticks=ticks,
                rules=rules,
            )
        )
    return [chart for chart in charts if chart is not None]


def _direction(metrics: Sequence[Metric]) -> str:
    """Which direction is better, of all of them or of each."""
    if len({metric.better for metric in metrics}) == 1:
        return f"{metrics[0].better} is better"
    return ", ".join(metric.heading for metric in metrics)


def _candidates(cycles: Sequence[Mapping[str, Any]]) -> str:
    """Among how many captions R-precision chose, where it is there."""
    numbers = (
        (as_number(row.get("r_precision_candidates")), as_number(row.get("r_precision_chance")))
        for row in cycles
    )
    found = sorted({(n, chance) for n, chance in numbers if n is not None and chance is not None})
    if not found:
        return ""
    said = " / ".join(f"{candidates:,.0f}" for candidates, _ in found)
    chances = " / ".join(f"{chance:.3g}" for _, chance in found)
    return f"; R-precision: top 1 of {said} captions, by chance {chances}"


def step_charts(curves: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]) -> list[Chart]:
    """Loss, learning rate and φ over the optimizer steps of all cycles, one after another.

    ``names`` are the cycles' names. Steps start again in every cycle; long curves are thinned to
    the means of equal stretches.
    """
    loss, smooth, rate, phi = [], [], [], []
    ticks, rules = [(0.0, "0")], []
    start = 0.0
    every = max(1, sum(map(len, curves)) // 400)
    label_every, rule_every = (max(1, -(-len(curves) // parts)) for parts in (5, 4))
    for index, (name, curve) in enumerate(zip(names, curves, strict=False)):
        if not curve:
            continue
        end = start + curve[-1]["step"]
        gap = (end, None, "")
        losses = [(start + row["step"], row["loss"]) for row in curve]
        loss += [*_means(losses, every), gap]
        smooth += [*_means(losses, max(every, -(-len(losses) // 12))), gap]
        rate += [*_changes([(start + row["step"], row["learning_rate"]) for row in curve]), gap]
        for row in curve:
            if row["phi"] is not None:
                hover = f"{name}, step {row['step']:g}: φ {format_number(row['phi'])}"
                hover += f", rate stage {row['stage']}"
                phi.append((start + row["step"], row["phi"], hover))
        phi.append(gap)
        if index:
            rules.append((start, name if index % rule_every == 0 else ""))
        start = end
        if index % label_every == label_every - 1 or index == len(curves) - 1:
            ticks.append((start, f"{start:,.0f}"))
    if len(ticks) > 2 and ticks[-1][0] - ticks[-2][0] < start / 12:
        del ticks[-2]
    label = "optimizer step, cycles one after another"
    shared: dict[str, Any] = {"x_label": label, "x_ticks": ticks, "rules": rules}
    known = [y for _, y, _ in rate if y]
    charts = [
        line_chart(
            "Training loss",
            "pale: each step" + (f" (means of {every})" if every > 1 else "") + "; strong: means",
            [Line("loss", "a", loss, faint=True), Line("mean", "a", smooth)],
            **shared,
        ),
        line_chart(
            "Learning rate",
            "of each step",
            [Line("learning rate", "b", rate, stepped=True)],
            logarithmic=bool(known) and max(known) / min(known) > 3,
            **shared,
        ),
        line_chart(
            "φ inside the cycles",
            "on fixed noise",
            [Line("φ", "c", phi)],
            y_range=(0.0, 10.0),
            **shared,
        ),
    ]
    return [chart for chart in charts if chart is not None]


def _path(points: Sequence[tuple[float, float | None]], stepped: bool) -> str:
    path, pen_down = "", False
    for x, y in points:
        if y is not None and not pen_down:
            path += f"M{x:g} {y:g}"
        elif y is not None:
            path += f"H{x:g}V{y:g}" if stepped else f"L{x:g} {y:g}"
        pen_down = y is not None
    return path


def _band(line: Line, across: Any, up: Any) -> str:
    edges = [
        (across(x), up(low), up(high))
        for (x, _, _), low, high in zip(line.points, line.low, line.high, strict=True)
        if low is not None and high is not None
    ]
    if not edges:
        return ""
    if len(edges) == 1:  # a band of one point has no width of its own
        (x, low, high) = edges[0]
        edges = [(x - 5, low, high), (x + 5, low, high)]
    there = "L".join(f"{x:g} {low:g}" for x, low, _ in edges)
    back = "L".join(f"{x:g} {high:g}" for x, _, high in reversed(edges))
    return f"M{there}L{back}Z"


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round values from below ``low`` to above ``high``."""
    if low == high:
        high = low + 1.0
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Decades, or 1, 2, 5 of each where there are few, from below ``low`` to above ``high``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    values = [factor * 10.0**power for power in range(first, last + 2) for factor in factors]
    bottom = max(value for value in values if value <= low * 1.0001)
    top = min(value for value in values if value >= high * 0.9999 and value > bottom)
    return [value for value in values if bottom <= value <= top]


def _whole_ticks(first: float, last: float) -> list[tuple[float, str]]:
    return _thinned([float(x) for x in range(math.ceil(first), math.floor(last) + 1)])


def _thinned(numbers: Sequence[float]) -> list[tuple[float, str]]:
    every = max(1, -(-len(numbers) // 12))
    return [(x, f"{x:g}") for index, x in enumerate(numbers) if index % every == 0]


def _means(points: Sequence[tuple[float, float]], stretch: int) -> list[Point]:
    """Means of ``stretch`` points in a row, at the middle of each."""
    parts = (points[first : first + stretch] for first in range(0, len(points), stretch))
    return [(*(sum(each) / len(part) for each in zip(*part, strict=True)), "") for part in parts]


def _changes(points: Sequence[tuple[float, float]]) -> list[Point]:
    """The first and last point, and those where y changes."""
    ends = (0, len(points) - 1)
    return [
        (x, y, "")
        for index, (x, y) in enumerate(points)
        if index in ends or y != points[index - 1][1]
    ]


def _tick_label(value: float) -> str:
    if 0 < abs(value) < 1e-3:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.10g}"
