"""Add this cycle's images to the training set X_T."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
import torch
from zenml import step

from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.selection.batch import select
from coti.settings import SelectionSettings, Strategy
from materializers.table import TableMaterializer
from ops.stack.cache_policy import CACHE_POLICY

__all__ = ["select_batch"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={"training_set": TableMaterializer, "picked": TableMaterializer},
)
def select_batch(
    scores: pd.DataFrame,
    features: TensorBundle,
    training_set: pd.DataFrame,
    cycle: int,
    strategy: Strategy,
    settings: SelectionSettings,
    seed: int,
) -> tuple[Annotated[pd.DataFrame, "training_set"], Annotated[pd.DataFrame, "picked"]]:
    """X_T with the picked images added, and their rows of the score table, best first."""
    compared = None
    if settings.suppress_duplicates:  # in the pool's order, as the features lie
        scores = scores.set_index("id").loc[features.strings("pool_ids")].reset_index()
        compared = features["pool"]
    places = select(
        strategy,
        settings,
        torch.tensor(scores["candidate"].to_numpy()),
        seed=derived_seed(seed, "select", cycle),
        s_int=torch.tensor(scores["s_int"].to_numpy()),
        s_con=torch.tensor(scores["s_con"].to_numpy()),
        s_aes=torch.tensor(scores["s_aes"].to_numpy()),
        features=compared,
    )
    picked = scores.iloc[places.tolist()].reset_index(drop=True)
    added = pd.DataFrame({"id": picked["id"], "origin": "pool", "cycle": cycle})
    return pd.concat([training_set, added], ignore_index=True), picked
