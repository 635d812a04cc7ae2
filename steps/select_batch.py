"""Add this cycle's images to the training set X_T."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import pandas as pd
import torch
from zenml import step

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.controller import Decision, stopped_for_want_of_images
from coti.loop.plan import strategy_of
from coti.loop.reviewed import marked
from coti.loop.select_batch import select_batch as select
from coti.loop.state import LoopState
from coti.selection import PoolView
from coti.settings import RunSettings
from materializers.table_parquet import TableMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loop_inputs import (
    columns_of,
    ground_truth_of,
    sources_of,
    training_set_of,
    training_table,
)
from ops.stack.review_inputs import reviewed_of

__all__ = ["select_batch"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"training_set": TableMaterializer, "picked": TableMaterializer},
)
@on_its_threads
def select_batch(
    scores: pd.DataFrame,
    features: TensorBundle,
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    cycle: int,
    last: dict[str, Any] | None,
    generated_features: TensorBundle | None,
    settings: RunSettings,
    ground_truth_fingerprint: str,
) -> tuple[
    Annotated[pd.DataFrame, "training_set"],
    Annotated[pd.DataFrame, "picked"],
    Annotated[dict[str, Any], "decision"],
]:
    """X_T with the picked images, their rows of the score table, and whether the loop goes on.

    ``last`` is the controller's decision after the cycle before; where nothing is left to pick it
    is taken back, so that no cycle trains on an unchanged X_T. ``generated_features`` are those of
    the last cycle's generations.
    """
    ids = features.strings("pool_ids")
    sources, reviewed = sources_of(accepted, training_set), reviewed_of(accepted, training_set)
    view = PoolView(
        settings=settings,
        features=features,
        candidates=torch.tensor(scores.set_index("id")["candidate"].loc[ids].to_numpy()),
        columns=columns_of(scores, ids),
        cycle=cycle,
        sources=[sources[name] for name in ids],
        generated=None if generated_features is None else generated_features["generated"],
    )
    view = marked(view, reviewed)
    ground_truth = ground_truth_of(settings) if strategy_of(settings).sees_ground_truth else None
    grown = select(LoopState(training_set_of(training_set), cycle), view, ground_truth)
    names = list(grown.added_in(cycle))
    picked = scores.set_index("id").loc[names].reset_index()
    decision = last or {"go_on": True, "reason": "", "kept_cycle": cycle}
    if last is not None and not names:
        decision = asdict(stopped_for_want_of_images(Decision(**last), cycle))
    return training_table(training_set, names, cycle), picked, decision
