"""Station 3 of a cycle: select what joins X_T."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from coti.core.seeding import derived_seed
from coti.loop.plan import strategy_of
from coti.loop.reviewed import pick
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.selection import PoolView

__all__ = ["select_batch"]


def select_batch(
    state: LoopState, pool: PoolView, ground_truth: Mapping[str, bool] | None = None
) -> TrainingSet:
    """X_T with this cycle's images, best first, and before them what a review keeps.

    ``ground_truth``, file name to whether an image is clean, is handed only to what
    ``sees_ground_truth``.
    """
    settings = pool.settings
    strategy = strategy_of(settings)
    if strategy.sees_ground_truth:
        pool = replace(pool, ground_truth=ground_truth)
    places = pick(strategy, pool, derived_seed(settings.seed, "select", state.cycle)).tolist()
    ids = pool.features.strings("pool_ids")
    return state.training_set.plus([ids[place] for place in places], state.cycle)
