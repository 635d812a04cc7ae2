"""Image features of pool and seeds, once; every later cycle is matrix algebra on them."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.imageset import ImageSet
from coti.pool.images import PoolImages
from coti.scoring import embed_pictures
from coti.settings import ConceptScoreSettings, ModelSettings, ScorerSettings
from coti.tensors import TensorBundle
from materializers.tensor_bundle import TensorBundleMaterializer
from steps.caching import CACHE_POLICY
from steps.models import concept_encoder, image_text_encoder

__all__ = ["embed_pool"]


@step(cache_policy=CACHE_POLICY, output_materializers={"features": TensorBundleMaterializer})
def embed_pool(
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
    scorer: ScorerSettings,
    scorer_fingerprint: str,
    concept_score: ConceptScoreSettings,
    model: ModelSettings,
    model_fingerprint: str,
) -> Annotated[TensorBundle, "features"]:
    """Features of the accepted pictures and the seeds, with their ids."""
    encoder = image_text_encoder(scorer.model, scorer.pretrained, scorer.batch_size)
    ids = [str(name) for name in accepted["id"]]
    return embed_pictures(
        encoder,
        concept_encoder(concept_score, encoder, model),
        ImageSet(ids, pool_images.tensor(ids)),
        seed_images,
        concept_score.distractors,
    )
