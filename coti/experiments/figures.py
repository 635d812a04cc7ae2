"""The paper's figures, drawn from the cells' samples and curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from coti.core.contact_sheet import contact_sheet
from coti.core.errors import ConfigError
from coti.experiments.result_rows import Cell, samples_of

__all__ = ["draw_figures"]

SHOWN = 8
"""Images a row of the sample figures."""
DOTS_PER_INCH = 110
_SHARES = ("r_precision",)
"""Metrics whose axis is all they can be, 0 to 1."""
WIDE = 10.0
"""Ratio of the longest bar to the shortest from which a distance's axis is logarithmic."""


def draw_figures(name: str, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Draw what a report needs; names of the PNG files written, in order.

    Args:
        name: ``table1``, ``table2`` and ``ablations`` (bars), ``figure3``, ``figure4``,
            ``figure5``, ``figure6``.
        cells: all cells.
        folder: where the files go.

    Raises:
        ConfigError: there is no such report.
    """
    if name not in _REPORTS:
        raise ConfigError(f"there is no report {name!r}: choose one of {', '.join(_REPORTS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    return _REPORTS[name](name, cells, folder)


def _concepts(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.concept for cell in cells))


def _strategies(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.strategy for cell in cells))


def _sheet(rows: Sequence[tuple[str, torch.Tensor]], title: str, path: Path) -> str:
    """Rows of images of one width, the row's name under its first image."""
    kept = [(text, images[:SHOWN]) for text, images in rows if len(images) >= SHOWN]
    if not kept:
        kept = [(text, images) for text, images in rows if len(images)]
    width = min((len(images) for _, images in kept), default=1)
    if kept:
        images = torch.cat([each[:width] for _, each in kept])
    else:
        images = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    captions = [text if i == 0 else "" for text, _ in kept for i in range(width)]
    contact_sheet(images, columns=width, captions=captions, title=title).save(path, optimize=True)
    return path.name


def _same_noise(name: str, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Figures 1 and 3: a row a strategy on the same noise, real images above."""
    files = []
    for concept in _concepts(cells):
        own = [cell for cell in cells if cell.concept == concept]
        first = [cell for cell in own if cell.seed == own[0].seed]
        real = first[0].real
        rows = [("real", real.images)] if real is not None else []
        rows += [(cell.strategy, samples_of(cell, "final")) for cell in first]
        path = folder / f"{name}_{concept.replace(' ', '_')}.png"
        files.append(_sheet(rows, f"{concept}: the same noise, learned in different ways", path))
    return files


def _by_cycle(name: str, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Figure 4: a row a cycle on fixed noise."""
    files = []
    for cell in cells:
        rows = [
            (f"cycle {row['cycle']}", samples_of(cell, f"c{row['cycle']}")) for row in cell.cycles
        ]
        slug = f"{cell.concept}_{cell.strategy}_{cell.seed}".replace(" ", "_").lower()
        path = folder / f"{name}_{''.join(c for c in slug if c.isalnum() or c == '_')}.png"
        files.append(_sheet(rows, f"{cell.concept}, {cell.strategy}: cycle by cycle", path))
    return files


def _curves(
    cells: Sequence[Cell], across: str, up: str
) -> list[tuple[str, list[float], list[float], list[float]]]:
    """Mean over concepts and seeds by cycle: name, x, mean, standard deviation."""
    found = []
    for strategy in _strategies(cells):
        own = [cell for cell in cells if cell.strategy == strategy]
        longest = max((len(cell.cycles) for cell in own), default=0)
        xs, means, stds = [], [], []
        for cycle in range(longest):
            rows = [cell.cycles[cycle] for cell in own if cycle < len(cell.cycles)]
            values = torch.tensor([float(row[up]) for row in rows], dtype=torch.float64)
            xs.append(sum(float(row[across]) for row in rows) / len(rows))
            means.append(float(values.mean()))
            stds.append(float(values.std()) if len(values) > 1 else 0.0)
        found.append((strategy, xs, means, stds))
    return found


def _plot(path: Path, panels: Sequence[tuple[str, Callable[[Any], None]]]) -> str:
    """Panels side by side in one PNG; matplotlib without its global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, draw) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        draw(axes)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    return path.name


def _lines(cells: Sequence[Cell], across: str, up: str, x: str, y: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for name, xs, means, stds in _curves(cells, across, up):
            axes.plot(xs, means, marker="o", markersize=3, label=name)
            low = [mean - std for mean, std in zip(means, stds, strict=True)]
            high = [mean + std for mean, std in zip(means, stds, strict=True)]
            axes.fill_between(xs, low, high, alpha=0.15)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(fontsize=7)

    return draw


def _gammas(name: str, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Figure 5: γ_aes, γ_con and φ over cycles."""
    panels = [
        (title, _lines(cells, "cycle", key, "cycle", title))
        for title, key in (("γ_aes", "gamma_aes"), ("γ_con", "gamma_con"), ("φ", "phi"))
    ]
    return [_plot(folder / f"{name}.png", panels)]


def _precision(name: str, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Figure 6: R-precision against the number of images."""
    panel = _lines(cells, "train_size", "r_precision", "images in X_T", "R-precision")
    return [_plot(folder / f"{name}.png", [("R-precision", panel)])]


def _bars(name: str, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Mean and deviation of both headline metrics, a bar a strategy."""
    from coti.experiments.result_rows import summarize

    def bars(metric: str) -> Callable[[Any], None]:
        def draw(axes: Any) -> None:
            names = _strategies(cells)
            found = [summarize(cells, each, metric) for each in names]
            errors = [0.0 if math.isnan(each.std) else each.std for each in found]
            means = [each.mean for each in found]
            axes.barh(names, means, xerr=errors, color="#5b7fa6")
            least = min((mean for mean in means if mean > 0), default=1.0)
            if metric in _SHARES:
                axes.set_xlim(0.0, 1.0)
            elif max(means, default=0.0) > WIDE * least:  # one bar would hide how others differ
                axes.set_xscale("log")
                axes.set_xlim(left=least / 2)
            axes.invert_yaxis()
            axes.tick_params(labelsize=7)

        return draw

    panels = [("fd_judge (lower is better)", bars("fd_judge"))]
    panels.append(("R-precision (higher is better)", bars("r_precision")))
    return [_plot(folder / f"{name}.png", panels)]


_REPORTS: dict[str, Callable[[str, Sequence[Cell], Path], list[str]]] = {
    "table1": _bars,
    "table2": _bars,
    "ablations": _bars,
    "figure3": _same_noise,
    "figure4": _by_cycle,
    "figure5": _gammas,
    "figure6": _precision,
}
