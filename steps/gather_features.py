"""The pool's features from its shards, the seeds' beside them, without near duplicates."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.feature_shards import embed_seeds, gather_shards
from coti.pool.dedupe import without_embedding_duplicates
from coti.settings import ConceptScoreSettings, ModelSettings, PoolSettings, ScorerSettings
from materializers.table import TableMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.loaded_models import concept_encoder, scorer_of

__all__ = ["gather_features"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "features": TensorBundleMaterializer,
        "accepted": TableMaterializer,
        "quarantined": TableMaterializer,
    },
)
def gather_features(
    shards: list[TensorBundle],
    accepted: pd.DataFrame,
    quarantined: pd.DataFrame,
    seed_images: ImageSet,
    rules: PoolSettings,
    scorer: ScorerSettings,
    scorer_fingerprint: str,
    concept_score: ConceptScoreSettings,
    model: ModelSettings,
    model_fingerprint: str,
) -> tuple[
    Annotated[TensorBundle, "features"],
    Annotated[pd.DataFrame, "accepted"],
    Annotated[pd.DataFrame, "quarantined"],
]:
    """What looks the same to the scorer joins the quarantine, in a group with what is kept."""
    encoder = scorer_of(scorer)
    other = concept_encoder(concept_score, encoder, model)
    seeds = embed_seeds(encoder, other, seed_images, concept_score.distractors)
    features = gather_shards(shards, seeds)
    if rules.near_duplicate_cosine:
        accepted, quarantined = without_embedding_duplicates(
            accepted,
            quarantined,
            features.strings("pool_ids"),
            features["pool"],
            rules.near_duplicate_cosine,
        )
        features = gather_shards(shards, seeds, keep=accepted["id"])
    return features, accepted, quarantined
