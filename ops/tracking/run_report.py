"""A run's tables and images as the plain data of the report page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from coti.core.image_set import ImageSet
from coti.core.images import encode_png
from coti.pool.pool_images import PoolImages
from coti.report import Card
from coti.selection.outcomes import OUTCOMES
from ops.tracking.selection_samples import by_kind, sample

__all__ = ["pngs_of", "quarantine_of", "rows_of", "selections_of"]


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A mapping a row; what is missing is None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def pngs_of(images: ImageSet) -> list[bytes]:
    """Each image as PNG."""
    return [encode_png(image) for image in images.images]


def selections_of(
    scores: Sequence[pd.DataFrame],
    picked: Sequence[pd.DataFrame],
    images: PoolImages,
    names: dict[str, str],  # an image's name in the pool by its id
    cycles: int,
) -> dict[str, Any]:
    """``picked``, ``not_drawn``, ``held_back`` and ``candidates`` of a report; of the last cycles
    alone."""
    without = cycles - len(scores)
    found: dict[str, Any] = {kind: [[] for _ in range(without)] for kind in OUTCOMES}
    found["candidates"] = [dict.fromkeys(OUTCOMES, 0) for _ in range(without)]
    for table, chosen in zip(scores, picked, strict=True):
        kinds = by_kind(table, chosen)
        found["candidates"].append({kind: len(rows) for kind, rows in kinds.items()})
        for kind, rows in kinds.items():
            shown = rows if kind == "picked" else sample(rows)
            found[kind].append(_cards(shown, images, names))
    return found


def _cards(rows: pd.DataFrame, images: PoolImages, names: dict[str, str]) -> list[Card]:
    pngs = images.png([str(name) for name in rows["id"]])
    return [
        Card(
            png=png,
            id=names.get(row["id"], str(row["id"])),
            s_aes=float(row["s_aes"]),
            s_con=float(row["s_con"]),
            score=float(row["score"]),
            rank=int(row["rank"]),
            reason=str(row["reason"]),
        )
        for png, row in zip(pngs, rows.to_dict("records"), strict=True)
    ]


def quarantine_of(rows: pd.DataFrame) -> list[tuple[str, int, list[str]]]:
    """Each reason, how many, and the names of a few."""
    groups = rows.groupby("reason", sort=True)["source"]
    return [
        (str(reason), len(names), [str(name) for name in names.head(4)]) for reason, names in groups
    ]
