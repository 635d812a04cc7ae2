"""Image features of one shard of the pool, once; every later cycle is matrix algebra on them."""

from __future__ import annotations

from threading import Lock
from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.encoders.feature_shards import embed_shard
from coti.pool.pool_images import PoolImages
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import encoders_of
from ops.stack.loop_inputs import on_device

__all__ = ["embed_pool", "embed_whole_pool"]

_LOADING = Lock()
"""On one machine shards run as threads, and the model is to be loaded once."""


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"shard_features": TensorBundleMaterializer},
)
@on_its_threads
def embed_pool(
    shard: list[str],
    pool_images: PoolImages,
    settings: RunSettings,
    device: str,
    scorer_fingerprint: str,
    model_fingerprint: str,
) -> Annotated[TensorBundle, "shard_features"]:
    """Features of the shard's images, with their ids; a finished shard comes from the cache."""
    with _LOADING:
        encoders = encoders_of(on_device(settings, device))
    images = ImageSet(shard, pool_images.tensor(shard))
    return embed_shard(encoders.scorer, encoders.concept, images)


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"shard_features": TensorBundleMaterializer},
)
def embed_whole_pool(
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    settings: RunSettings,
    device: str,
    scorer_fingerprint: str,
    model_fingerprint: str,
) -> Annotated[TensorBundle, "shard_features"]:
    """All accepted images as one shard, for graphs that are made before the pool is known."""
    features: TensorBundle = embed_pool.entrypoint(
        shard=[str(name) for name in accepted["id"]],
        pool_images=pool_images,
        settings=settings,
        device=device,
        scorer_fingerprint=scorer_fingerprint,
        model_fingerprint=model_fingerprint,
    )
    return features
