"""Score every accepted image: S_aes, S_con and S_int (Eq. 7, 8, 11)."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import torch
from zenml import step

from coti.core.tensors import TensorBundle
from coti.scores.aesthetic import AestheticHead
from coti.scores.scoring import fit_concept, score_candidates
from coti.settings import ConceptScoreSettings, SelectionSettings
from materializers.table import TableMaterializer
from ops.stack.cache_policy import CACHE_POLICY

__all__ = ["score_pool"]


@step(cache_policy=CACHE_POLICY, output_materializers={"scores": TableMaterializer})
def score_pool(
    features: TensorBundle,
    aesthetic_head: TensorBundle,
    training_set: pd.DataFrame,
    previous: pd.DataFrame | None,
    cycle: int,
    evaluation: dict[str, Any] | None,
    concept_score: ConceptScoreSettings,
    selection: SelectionSettings,
    seed: int,
) -> Annotated[pd.DataFrame, "scores"]:
    """One row an image, best first; γ of the last cycle's generations sets the weights.

    ``previous`` is the last cycle's table: of Eq. 8 only what joined X_T since is new.
    """
    known = evaluation or {"gamma_aes": 0.0, "gamma_con": 0.0}
    train_ids = list(training_set["id"])
    least = None
    if previous is not None and "least_cosine" in previous:
        kept = previous.set_index("id")["least_cosine"].loc[features.strings("pool_ids")]
        least = torch.tensor(kept.to_numpy())
    columns = score_candidates(
        features,
        AestheticHead.from_tensors(aesthetic_head.tensors),
        fit_concept(features, train_ids, concept_score, seed),
        float(known["gamma_aes"]),
        float(known["gamma_con"]),
        selection.weight_floor,
        least=least,
        joined=training_set.loc[training_set["cycle"] >= cycle - 1, "id"].tolist(),
    )
    table = pd.DataFrame(columns)
    table["candidate"] = ~table["id"].isin(train_ids)
    table = table.sort_values("s_int", ascending=False, kind="stable", ignore_index=True)
    table["rank"] = range(1, len(table) + 1)
    return table
