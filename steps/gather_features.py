"""The pool's features from its shards, the seeds' and other images' beside them, without near
duplicates."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.encoders.feature_shards import embed_seeds, gather_shards
from coti.pool.concept_data import read_negatives
from coti.pool.dedupe import without_embedding_duplicates
from coti.settings import RunSettings
from materializers.table_parquet import TableMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import encoders_of
from ops.stack.locations import locate
from ops.stack.loop_inputs import on_device
from ops.stack.review_inputs import with_review

__all__ = ["gather_features"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "features": TensorBundleMaterializer,
        "accepted": TableMaterializer,
        "quarantined": TableMaterializer,
    },
)
@on_its_threads
def gather_features(
    shards: list[TensorBundle],
    accepted: pd.DataFrame,
    quarantined: pd.DataFrame,
    seed_images: ImageSet,
    text: str,
    settings: RunSettings,
    device: str,
    scorer_fingerprint: str,
    model_fingerprint: str,
    negatives_fingerprint: str,
    review: dict[str, Any] | None = None,
    review_fingerprint: str = "",
) -> tuple[
    Annotated[TensorBundle, "features"],
    Annotated[pd.DataFrame, "accepted"],
    Annotated[pd.DataFrame, "quarantined"],
]:
    """What looks the same to the scorer joins the quarantine, in a group with what is kept. What
    people decided stands with the accepted images from here on.

    ``text``: the words for the concept, ``settings.asked_for`` of a run.
    """
    encoders = encoders_of(on_device(settings, device))
    distractors = settings.concept_score.distractors
    folders = [locate(folder) for folder in settings.aesthetic.negatives]
    negatives = read_negatives(folders, seed_images.images.shape[-1], settings.images.rule)
    seeds = embed_seeds(
        encoders.scorer, encoders.concept, seed_images, distractors, text, negatives
    )
    features = gather_shards(shards, seeds)
    alike = settings.pool_rules.near_duplicate_cosine
    if alike:
        accepted, quarantined = without_embedding_duplicates(
            accepted, quarantined, features.strings("pool_ids"), features["pool"], alike
        )
        features = gather_shards(shards, seeds, keep=accepted["id"])
    return features, with_review(accepted, seed_images.names, review), quarantined
