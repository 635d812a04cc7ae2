"""Fine-tune the aesthetic head on ratings, seeds and what is selected so far (Eq. 7)."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.fit_scorers import finetune_aesthetic_scorer as finetune
from coti.loop.state import LoopState
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import encoders_of, located
from ops.stack.loop_inputs import sources_of, training_set_of
from ops.stack.review_inputs import reviewed_of

__all__ = ["finetune_aesthetic_scorer"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"aesthetic_head": TensorBundleMaterializer},
)
@on_its_threads
def finetune_aesthetic_scorer(
    features: TensorBundle,
    accepted: pd.DataFrame,
    seed_images: ImageSet,
    training_set: pd.DataFrame,
    cycle: int,
    settings: RunSettings,
    ratings_fingerprint: str,
) -> Annotated[TensorBundle, "aesthetic_head"]:
    """θ of this cycle, always fine-tuned from the same start."""
    head = finetune(
        state=LoopState(training_set_of(training_set), cycle),
        features=features,
        sources=sources_of(accepted, training_set),
        seeds=seed_images,
        encoders=encoders_of(settings),
        settings=located(settings),
        reviewed=reviewed_of(accepted, training_set),
    )
    return TensorBundle(head.to_tensors())
