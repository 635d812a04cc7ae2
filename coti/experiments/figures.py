"""The paper's figures, drawn from the runs' samples and curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from coti.core.contact_sheet import contact_sheet
from coti.core.errors import ConfigError
from coti.core.whole_files import whole_file
from coti.experiments.result_rows import FinishedRun, samples_of, summarize
from coti.metrics.table import METRICS

__all__ = ["draw_figures"]

SHOWN = 8
"""Images a row of the sample figures."""
DOTS_PER_INCH = 110
WIDE = 10.0
"""Ratio of the longest bar to the shortest from which a distance's axis is logarithmic."""


def draw_figures(name: str, runs: Sequence[FinishedRun], folder: Path) -> list[str]:
    """Draw what a report, one of ``_REPORTS``, needs; names of the PNG files written, in order.

    Raises:
        ConfigError: there is no such report.
    """
    if name not in _REPORTS:
        raise ConfigError(f"there is no report {name!r}: choose one of {', '.join(_REPORTS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    return _REPORTS[name](name, runs, folder)


def _concepts(runs: Sequence[FinishedRun]) -> list[str]:
    return list(dict.fromkeys(run.concept for run in runs))


def _file_safe(text: str) -> str:
    """Letters, digits and underscores of a text: no path, whatever a concept is called."""
    return "".join(c for c in text.replace(" ", "_") if c.isalnum() or c == "_")[:100]


def _strategies(runs: Sequence[FinishedRun]) -> list[str]:
    return list(dict.fromkeys(run.strategy for run in runs))


def _sheet(rows: Sequence[tuple[str, torch.Tensor]], title: str, path: Path) -> str:
    """Rows of images of one width, the row's name under its first image."""
    kept = [(text, images[:SHOWN]) for text, images in rows if len(images) >= SHOWN]
    kept = kept or [(text, images) for text, images in rows if len(images)]
    width = min((len(images) for _, images in kept), default=1)
    none = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    images = torch.cat([each[:width] for _, each in kept]) if kept else none
    captions = [text if i == 0 else "" for text, _ in kept for i in range(width)]
    sheet = contact_sheet(images, columns=width, captions=captions, title=title)
    with whole_file(path) as part:
        sheet.save(part, "PNG", optimize=True)
    return path.name


def _same_noise(name: str, runs: Sequence[FinishedRun], folder: Path) -> list[str]:
    """Figures 1 and 3: a row a strategy on the same noise, real images above."""
    files = []
    for concept in _concepts(runs):
        own = [run for run in runs if run.concept == concept]
        first = [run for run in own if run.seed == own[0].seed]
        real = first[0].real
        rows = [("real", real.images)] if real is not None else []
        rows += [(run.strategy, samples_of(run, "final")) for run in first]
        path = folder / f"{name}_{_file_safe(concept)}.png"
        files.append(_sheet(rows, f"{concept}: the same noise, learned in different ways", path))
    return files


def _by_cycle(name: str, runs: Sequence[FinishedRun], folder: Path) -> list[str]:
    """Figure 4: a row a cycle on fixed noise."""
    files = []
    for run in runs:
        rows = [
            (f"cycle {row['cycle']}", samples_of(run, f"c{row['cycle']}")) for row in run.cycles
        ]
        slug = _file_safe(f"{run.concept}_{run.strategy}_{run.seed}").lower()
        path = folder / f"{name}_{slug}.png"
        files.append(_sheet(rows, f"{run.concept}, {run.strategy}: cycle by cycle", path))
    return files


def _curves(
    runs: Sequence[FinishedRun], across: str, up: str
) -> list[tuple[str, list[float], list[float], list[float]]]:
    """Mean over concepts and seeds by cycle: name, x, mean, standard deviation."""
    found = []
    for strategy in _strategies(runs):
        own = [run for run in runs if run.strategy == strategy]
        longest = max((len(run.cycles) for run in own), default=0)
        xs, means, stds = [], [], []
        for cycle in range(longest):
            rows = [run.cycles[cycle] for run in own if cycle < len(run.cycles)]
            values = torch.tensor([float(row[up]) for row in rows], dtype=torch.float64)
            xs.append(sum(float(row[across]) for row in rows) / len(rows))
            means.append(float(values.mean()))
            stds.append(float(values.std()) if len(values) > 1 else 0.0)
        found.append((strategy, xs, means, stds))
    return found


def _plot(path: Path, panels: Sequence[tuple[str, Callable[[Any], None]]]) -> str:
    """Panels side by side in one PNG; matplotlib without its global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, draw) in zip(places, panels, strict=True):
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.grid(alpha=0.3)
        draw(axes)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH)
    return path.name


def _lines(
    runs: Sequence[FinishedRun], across: str, up: str, x: str, y: str
) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for name, xs, means, stds in _curves(runs, across, up):
            axes.plot(xs, means, marker="o", markersize=3, label=name)
            low = [mean - std for mean, std in zip(means, stds, strict=True)]
            high = [mean + std for mean, std in zip(means, stds, strict=True)]
            axes.fill_between(xs, low, high, alpha=0.15)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(fontsize=7)

    return draw


def _gammas(name: str, runs: Sequence[FinishedRun], folder: Path) -> list[str]:
    """Figure 5: γ_aes, γ_con and φ over cycles."""
    panels = [
        (title, _lines(runs, "cycle", key, "cycle", title))
        for title, key in (("γ_aes", "gamma_aes"), ("γ_con", "gamma_con"), ("φ", "phi"))
    ]
    return [_plot(folder / f"{name}.png", panels)]


def _precision(name: str, runs: Sequence[FinishedRun], folder: Path) -> list[str]:
    """Figure 6: R-precision against the number of images."""
    panel = _lines(runs, "train_size", "r_precision", "images in X_T", "R-precision")
    return [_plot(folder / f"{name}.png", [("R-precision", panel)])]


def _bars(name: str, runs: Sequence[FinishedRun], folder: Path) -> list[str]:
    """Mean and deviation of both headline metrics, a bar a strategy."""

    def bars(metric: str) -> Callable[[Any], None]:
        def draw(axes: Any) -> None:
            names = _strategies(runs)
            found = [summarize(runs, each, metric) for each in names]
            errors = [0.0 if math.isnan(each.std) else each.std for each in found]
            means = [each.mean for each in found]
            axes.barh(names, means, xerr=errors, color="#5b7fa6")
            least = min((mean for mean in means if mean > 0), default=1.0)
            scale = METRICS[metric].scale
            if scale is not None:
                axes.set_xlim(0.0, scale)
            elif max(means, default=0.0) > WIDE * least:  # one bar would hide how others differ
                axes.set_xscale("log")
                axes.set_xlim(left=least / 2)
            axes.invert_yaxis()
            axes.tick_params(labelsize=7)

        return draw

    panels = [
        (f"{METRICS[metric].label} ({METRICS[metric].better} is better)", bars(metric))
        for metric in ("fd_judge", "r_precision")
    ]
    return [_plot(folder / f"{name}.png", panels)]


_REPORTS: dict[str, Callable[[str, Sequence[FinishedRun], Path], list[str]]] = {
    "table1": _bars,
    "table2": _bars,
    "ablations": _bars,
    "figure3": _same_noise,
    "figure4": _by_cycle,
    "figure5": _gammas,
    "figure6": _precision,
}
