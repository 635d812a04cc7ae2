"""Whose images a cell trains on: COTI's, a baseline's, or the ceiling's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from coti.core.errors import ConfigError
from coti.core.seeding import derived_seed, generator
from coti.selection.batch import select
from coti.settings.experiment import CellSettings

__all__ = ["pick_at_once", "pick_for_cycle"]


def pick_at_once(
    cell: CellSettings, sources: Sequence[str], right: Mapping[str, bool] | None
) -> list[int]:
    """All the images that a strategy without cycles adds to the seeds: rows of the pool.

    Args:
        cell: ``seeds`` adds none, ``random`` and ``oracle`` add ``images``, ``full`` all.
        sources: file names of the accepted images, in the pool's order.
        right: the ground truth, file name to whether it is clean. Read by ``oracle`` alone.

    Raises:
        ConfigError: the oracle has no ground truth, or there are too few images.
    """
    rows = list(range(len(sources)))
    if cell.strategy in ("none", "seeds"):
        return []
    if cell.strategy == "full":
        return rows
    if cell.strategy == "oracle":
        if right is None:
            raise ConfigError("strategy oracle needs the pool's ground truth: set `ground_truth`.")
        rows = [row for row in rows if right.get(sources[row], False)]
    if len(rows) < cell.images:
        raise ConfigError(
            f"strategy {cell.strategy} is to add {cell.images} images and the pool has "
            f"{len(rows)} for it: lower `images`, or give a larger pool."
        )
    order = torch.randperm(len(rows), generator=generator(cell.seed, "at once", cell.strategy))
    return [rows[place] for place in order[: cell.images].tolist()]


def pick_for_cycle(
    cell: CellSettings,
    cycle: int,
    candidates: torch.Tensor,
    *,
    score: torch.Tensor,
    s_aes: torch.Tensor | None = None,
    s_con: torch.Tensor | None = None,
    features: torch.Tensor | None = None,
) -> list[int]:
    """The images that a cycle adds: rows of the pool, best first.

    COTI's gates and spread are COTI's alone: a baseline takes the best B of its score.

    Args:
        cell: the strategy, and B.
        cycle: this cycle, 1 or more.
        candidates: bool [n], images that were not picked yet.
        score: [n], S_int or a baseline's score; more is better.
        s_aes: [n], for COTI's aesthetic gate.
        s_con: [n], for COTI's concept gate.
        features: [n, d], L2-normalised, for COTI's suppression of duplicates.
    """
    selection = cell.selection
    if cell.strategy != "coti":
        selection = replace(
            selection, concept_gate=0.0, aesthetic_gate=0.0, spread=1.0, suppress_duplicates=0.0
        )
    rows = select(
        "random" if cell.strategy == "random" else "coti",
        selection,
        candidates,
        seed=derived_seed(cell.seed, "select", cycle),
        s_int=score,
        s_aes=s_aes,
        s_con=s_con,
        features=features,
    )
    return [int(row) for row in rows]
