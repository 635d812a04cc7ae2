"""A ranking as a table: on a terminal, as ``rank.csv`` and as ``rank.html``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coti.core.html_page import render_page
from coti.core.images import to_pil
from coti.core.whole_files import whole_file, write_whole
from coti.metrics.table import MISSING
from coti.ranking.ranking import Ranked, Ranking
from coti.report.page import TEMPLATES, embedded_image

__all__ = ["COLUMNS", "lines_of", "rows_of", "write_csv", "write_page"]

BEHIND = "behind the best"
"""Heading of the difference that decides who is told from the best."""
_SIDE = 192


@dataclass(frozen=True)
class _Column:
    """A number of every checkpoint."""

    name: str
    """In CSV and JSON."""
    label: str
    about: str
    value: Callable[[Ranked], float | None]
    digits: int = 3


def _distance(of: str) -> Callable[[Ranked], float | None]:
    def value(row: Ranked) -> float | None:
        found = getattr(row, of)
        return None if found is None else float(found.value)

    return value


def _end(of: str, which: int) -> Callable[[Ranked], float | None]:
    def value(row: Ranked) -> float | None:
        found = getattr(row, of)
        return None if found is None else float(found.estimate.interval[which])

    return value


COLUMNS = (
    _Column("distance_to_references", "to references ↓",
            "kernel distance (squared MMD) to images that nothing was trained on",
            _distance("to_references"), 4),
    _Column("distance_to_training", "to training set ↓",
            "kernel distance to the images that were trained on: near is learned, too near is "
            "copied",
            _distance("to_training"), 4),
    _Column("precision", "precision ↑", "share of images as near to the compared ones as these are "
            "to each other: fidelity", lambda row: row.precision),
    _Column("coverage", "coverage ↑", "share of the compared images with one of these among their "
            "neighbours: variety", lambda row: row.coverage),
    _Column("text_agreement", "text ↑", "mean cosine of scenes and their captions: whether it "
            "still follows a prompt", lambda row: row.text),
    _Column("copies", "copies ↓", "share of images that are nearly one of the training set: "
            "memorised", lambda row: row.copies),
    _Column("drift", "drift ↓", "how much prompts without its word change: 0 is not at all",
            lambda row: row.drift),
)  # fmt: skip
_ENDS = (
    _Column("distance_to_references_low", "", "", _end("to_references", 0)),
    _Column("distance_to_references_high", "", "", _end("to_references", 1)),
    _Column("distance_to_training_low", "", "", _end("to_training", 0)),
    _Column("distance_to_training_high", "", "", _end("to_training", 1)),
)


def rows_of(ranking: Ranking) -> list[dict[str, Any]]:
    """A mapping a checkpoint, best first: unrounded, None where it is not known."""
    found = []
    for place, row in enumerate(ranking.rows, start=1):
        low = high = None
        if row.behind is not None:
            half = row.behind.half_width(ranking.comparisons)
            low, high = row.behind.value - half, row.behind.value + half
        found.append(
            {
                "place": place,
                "label": row.checkpoint.label,
                "kind": row.checkpoint.kind,
                "file": str(row.checkpoint.path),
                "as_good_as_the_best": ranking.is_as_good(row),
                "memorises": row.memorises,
                "behind_the_best": None if row.behind is None else row.behind.value,
                "behind_low": low,
                "behind_high": high,
                **{each.name: each.value(row) for each in (*COLUMNS, *_ENDS)},
                "images": row.count,
            }
        )
    return found


def write_csv(ranking: Ranking, path: Path) -> Path:
    """``rank.csv``: what :func:`rows_of` has, whole or not at all."""
    rows = rows_of(ranking)
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def lines_of(ranking: Ranking) -> list[str]:
    """The table for a terminal; columns that nothing is known of are left out."""
    shown = _shown(ranking)
    heads = ["", "checkpoint", *(each.label for each in shown), BEHIND, ""]
    table = [heads]
    for place, row in enumerate(ranking.rows, start=1):
        values = [_written(each, row) for each in shown]
        values.append(_behind(ranking, row))
        table.append([str(place), row.checkpoint.label, *values, _remark(ranking, row)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in (1, len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]


def write_page(ranking: Ranking, path: Path, title: str, how: Sequence[str]) -> Path:
    """``rank.html``: the sentence, the table, and each checkpoint's images side by side.

    Args:
        ranking: at least one checkpoint.
        path: of the page; written whole or not at all.
        title: what was ranked.
        how: sentences on how it was measured.
    """
    from markupsafe import Markup

    shown = _shown(ranking)
    page = render_page(
        TEMPLATES / "rank.html.j2",
        title=title,
        how=how,
        sentence=ranking.sentence,
        memorises=ranking.best.memorises,
        columns=shown,
        behind=BEHIND,
        rows=[
            {
                "place": place,
                "label": row.checkpoint.label,
                "kind": row.checkpoint.kind,
                "remark": _remark(ranking, row),
                "best": ranking.is_as_good(row),
                "values": [*(_written(each, row) for each in shown), _behind(ranking, row)],
                "images": [embedded_image(each, _SIDE) for each in to_pil(row.images)],
                "paired": row.checkpoint.generates,
            }
            for place, row in enumerate(ranking.rows, start=1)
        ],
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
    )
    write_whole(path, page.encode())
    return path


def _shown(ranking: Ranking) -> list[_Column]:
    return [each for each in COLUMNS if any(each.value(row) is not None for row in ranking.rows)]


def _written(column: _Column, row: Ranked) -> str:
    value = column.value(row)
    if value is None:
        return MISSING
    text = f"{value:.{column.digits}f}"
    if column.name.startswith("distance"):
        found = row.to_references if column.name.endswith("references") else row.to_training
        assert found is not None  # it has a value
        half = found.estimate.interval[1] - found.value
        text += f" ± {half:.{column.digits}f}"
    return text


def _behind(ranking: Ranking, row: Ranked) -> str:
    if row.behind is None:
        return MISSING
    return f"{row.behind.value:.4f} ± {row.behind.half_width(ranking.comparisons):.4f}"


def _remark(ranking: Ranking, row: Ranked) -> str:
    if row is ranking.best:
        said = "best"
    elif ranking.is_as_good(row):
        said = "can't be told from the best"
    else:
        said = ""
    return ", ".join(filter(None, [said, "gives training images back" if row.memorises else ""]))
