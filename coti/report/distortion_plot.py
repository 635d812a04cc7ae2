"""The distortion-editability plot: reconstruction against editability, a point an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from coti.core.whole_files import whole_file

__all__ = ["means_by_label", "plot_distortion"]


def means_by_label(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a label, its numbers the means over the seeds; None where there is none."""
    table = []
    for label in dict.fromkeys(row["label"] for row in rows):
        mine = [row for row in rows if row["label"] == label]
        first = dict(mine[0])
        for key, value in first.items():
            if isinstance(value, float):
                first[key] = mean(float(row[key]) for row in mine)
        first["seeds"] = len(mine)
        table.append(first)
    return table


def plot_distortion(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> Path:
    """Write the plot as PNG: the mean over seeds of each, bars from least to most.

    Up is less distortion (reconstruction), right is more editable; words of the vocabulary are
    hollow. Points lie close together, so a legend names them.
    """
    figure = Figure(figsize=(6.4, 4.4), dpi=130, layout="constrained")
    axes = figure.subplots()
    shapes = "osD^vP*X"
    for place, row in enumerate(means_by_label(rows)):
        colour = colormaps["tab10"](place % 10)
        mine = [each for each in rows if each["label"] == row["label"]]
        x, y = float(row["editability"]), float(row["reconstruction"])
        spans = []
        for key, centre in (("editability", x), ("reconstruction", y)):
            values = [float(each[key]) for each in mine]
            spans.append([[centre - min(values)], [max(values) - centre]])
        hollow = row["num_vectors"] == 0
        axes.errorbar(
            x,
            y,
            xerr=spans[0],
            yerr=spans[1],
            fmt=shapes[place % len(shapes)],
            color=colour,
            markerfacecolor="white" if hollow else colour,
            markersize=7,
            elinewidth=1,
            capsize=2,
            label=str(row["label"]),
        )
    # A title or a label with two dollar signs is no formula.
    for text in axes.legend(fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)
    axes.set_xlabel("editability: cosine of images and prompt  →")
    axes.set_ylabel("reconstruction: cosine to the concept's images  →")
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.margins(0.18)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return path
