"""A run's artifacts as the plain data of the report page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from coti.core.image_set import ImageSet
from coti.core.images import encode_png
from coti.pool.pool_images import PoolImages
from coti.report import Card, RunReport
from ops.tracking.selection_samples import refused_in, sample_of_refused

__all__ = ["report_of"]


def report_of(
    *,
    concept: str,
    run: str,
    history: Sequence[dict[str, Any]],
    decision: dict[str, Any],
    registration: dict[str, Any],
    curves: Sequence[pd.DataFrame],
    samples: Sequence[ImageSet],
    initial_samples: ImageSet,
    seed_images: ImageSet,
    scores: Sequence[pd.DataFrame],
    picked: Sequence[pd.DataFrame],
    pool_images: PoolImages,
    accepted: pd.DataFrame,
    quarantined: pd.DataFrame,
    config: dict[str, Any],
    lineage: dict[str, str],
    token: str,
) -> RunReport:
    """Collect what :func:`coti.report.write_report` shows; selections belong to the last cycles."""
    names = dict(zip(accepted["id"], accepted["source"], strict=True))
    without = len(history) - len(scores)
    picked_cards: list[list[Card]] = [[] for _ in range(without)]
    refused_cards: list[list[Card]] = [[] for _ in range(without)]
    refused_totals = [0] * without
    for table, chosen in zip(scores, picked, strict=True):
        refused = refused_in(table, chosen)
        picked_cards.append(_cards(chosen, pool_images, names))
        refused_cards.append(_cards(sample_of_refused(refused), pool_images, names))
        refused_totals.append(len(refused))
    return RunReport(
        concept=concept,
        cycles=history,
        title=run,
        placeholder_token=token,
        strategy=str(config["strategy"]),
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        best_cycle=int(decision["best_cycle"]),
        stop_reason=str(decision["reason"]),
        pool_inputs=len(accepted) + len(quarantined),
        pool_accepted=len(accepted),
        curves=[_rows(curve) for curve in curves],
        picked=picked_cards,
        refused=refused_cards,
        refused_totals=refused_totals,
        samples=[[encode_png(image) for image in each.images] for each in samples],
        start_samples=[encode_png(image) for image in initial_samples.images],
        seeds=[encode_png(image) for image in seed_images.images],
        quarantine=_quarantine(quarantined),
        validation_html="validation.html",
        config=config,
        lineage={**lineage, "registry": registration["reason"]},
        files={
            "learned_embeds.safetensors": "learned_embeds.safetensors",
            "cycles.csv": "cycles.csv",
            "validation.html": "validation.html",
        },
    )


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def _cards(rows: pd.DataFrame, images: PoolImages, names: dict[str, str]) -> list[Card]:
    pngs = images.png([str(name) for name in rows["id"]])
    return [
        Card(
            png=png,
            id=names.get(row["id"], str(row["id"])),
            s_aes=float(row["s_aes"]),
            s_con=float(row["s_con"]),
            s_int=float(row["s_int"]),
            rank=int(row["rank"]),
        )
        for png, row in zip(pngs, rows.to_dict("records"), strict=True)
    ]


def _quarantine(rows: pd.DataFrame) -> list[tuple[str, int, list[str]]]:
    groups = rows.groupby("reason", sort=True)["source"]
    return [
        (str(reason), len(names), [str(name) for name in names.head(4)]) for reason, names in groups
    ]
