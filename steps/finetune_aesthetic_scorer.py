"""Fine-tune the aesthetic head on ratings, seeds and what is selected so far (Eq. 7)."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.scores.scoring import finetune_for_cycle
from coti.settings import AestheticSettings, ScorerSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.loaded_models import located_aesthetic, scorer_of

__all__ = ["finetune_aesthetic_scorer"]


@step(cache_policy=CACHE_POLICY, output_materializers={"aesthetic_head": TensorBundleMaterializer})
def finetune_aesthetic_scorer(
    features: TensorBundle,
    accepted: pd.DataFrame,
    seed_images: ImageSet,
    training_set: pd.DataFrame,
    cycle: int,
    scorer: ScorerSettings,
    settings: AestheticSettings,
    ratings_fingerprint: str,
    seed: int,
) -> Annotated[TensorBundle, "aesthetic_head"]:
    """θ of this cycle, always fine-tuned from the same start."""
    head = finetune_for_cycle(
        features,
        dict(zip(accepted["id"], accepted["source"], strict=True)),
        seed_images,
        dict(zip(training_set["id"], training_set["cycle"], strict=True)),
        cycle,
        scorer_of(scorer),
        located_aesthetic(settings),
        derived_seed(seed, "aesthetic", cycle),
    )
    return TensorBundle(head.to_tensors())
