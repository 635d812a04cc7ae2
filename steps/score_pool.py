"""Score every accepted image: S_aes, S_con and S_int (Eq. 7, 8, 11), and the strategy's score."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.plan import strategy_of
from coti.loop.reviewed import gates_of
from coti.loop.score_pool import score_pool as score
from coti.loop.state import LoopState
from coti.pool.pool_images import PoolImages
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer
from coti.selection.outcomes import held_back
from coti.settings import RunSettings
from materializers.table_parquet import TableMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import efficientnet_of, located
from ops.stack.loop_inputs import columns_of, sources_of, training_set_of
from ops.stack.review_inputs import reviewed_of

__all__ = ["score_pool"]


@step(cache_policy=cached_by(__name__), output_materializers={"scores": TableMaterializer})
@on_its_threads
def score_pool(
    features: TensorBundle,
    aesthetic_head: TensorBundle,
    concept_scorer: TensorBundle,
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
    previous: pd.DataFrame | None,
    cycle: int,
    scored: dict[str, Any] | None,
    generated_features: TensorBundle | None,
    settings: RunSettings,
    baselines_fingerprint: str,
) -> Annotated[pd.DataFrame, "scores"]:
    """One row an image, best first; γ of the last cycle's generations sets the weights.

    ``previous`` is the last cycle's table: of Eq. 8 only what joined X_T since is new.
    ``generated_features`` are those of the last cycle's generations. ``held_back`` says what keeps
    an image from being picked, where anything does.
    """
    metrics = (scored or {}).get("metrics", {})
    ids = features.strings("pool_ids")
    view = score(
        state=LoopState(
            training_set_of(training_set),
            cycle,
            head=AestheticHead.from_tensors(aesthetic_head.tensors),
            concept=ConceptScorer.from_tensors(concept_scorer.tensors),
            columns=None if previous is None else columns_of(previous, ids),
            generated=None if generated_features is None else generated_features["generated"],
            gammas=(metrics.get("gamma_aes", 0.0), metrics.get("gamma_con", 0.0)),
        ),
        features=features,
        settings=located(settings),
        sources=sources_of(accepted, training_set),
        reviewed=reviewed_of(accepted, training_set),
        images=pool_images,
        seeds=seed_images,
        efficientnet=lambda: efficientnet_of(settings),
    )
    gates = gates_of(strategy_of(settings), view)
    table = pd.DataFrame(
        {
            "id": ids,
            **{name: column.numpy() for name, column in view.columns.items()},
            "candidate": view.candidates.numpy(),
            "held_back": held_back(gates, len(ids)),
        }
    )
    table = table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    table["rank"] = range(1, len(table) + 1)
    return table
