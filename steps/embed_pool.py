"""Image features of one shard of the pool, once; every later cycle is matrix algebra on them."""

from __future__ import annotations

from threading import Lock
from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.feature_shards import embed_shard
from coti.pool.pool_images import PoolImages
from coti.settings import ConceptScoreSettings, ModelSettings, ScorerSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.loaded_models import concept_encoder, scorer_of

__all__ = ["embed_pool", "embed_whole_pool"]

_LOADING = Lock()
"""On one machine shards run as threads, and the model is to be loaded once."""


@step(cache_policy=CACHE_POLICY, output_materializers={"shard_features": TensorBundleMaterializer})
def embed_pool(
    shard: list[str],
    pool_images: PoolImages,
    scorer: ScorerSettings,
    scorer_fingerprint: str,
    concept_score: ConceptScoreSettings,
    model: ModelSettings,
    model_fingerprint: str,
) -> Annotated[TensorBundle, "shard_features"]:
    """Features of the shard's images, with their ids; a finished shard comes from the cache."""
    with _LOADING:
        encoder = scorer_of(scorer)
        other = concept_encoder(concept_score, encoder, model)
    return embed_shard(encoder, other, ImageSet(shard, pool_images.tensor(shard)))


@step(cache_policy=CACHE_POLICY, output_materializers={"shard_features": TensorBundleMaterializer})
def embed_whole_pool(
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    scorer: ScorerSettings,
    scorer_fingerprint: str,
    concept_score: ConceptScoreSettings,
    model: ModelSettings,
    model_fingerprint: str,
) -> Annotated[TensorBundle, "shard_features"]:
    """All accepted images as one shard, for graphs that are made before the pool is known."""
    features: TensorBundle = embed_pool.entrypoint(
        [str(name) for name in accepted["id"]],
        pool_images,
        scorer,
        scorer_fingerprint,
        concept_score,
        model,
        model_fingerprint,
    )
    return features
