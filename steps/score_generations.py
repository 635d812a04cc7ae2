"""All that may steer, of a cycle's generations X_TI: γ, φ, φ_ref and their distance to X_T."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.score_generations import score_generations as score
from coti.loop.state import LoopState
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import encoders_of
from ops.stack.loop_inputs import on_device, training_set_of

__all__ = ["score_generations"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"generated_features": TensorBundleMaterializer},
)
@on_its_threads
def score_generations(
    generated: ImageSet,
    features: TensorBundle,
    aesthetic_head: TensorBundle,
    first_aesthetic_head: TensorBundle,
    concept_scorer: TensorBundle,
    seeds_concept_scorer: TensorBundle,
    kept_features: TensorBundle | None,
    training_set: pd.DataFrame,
    settings: RunSettings,
    device: str,
) -> tuple[Annotated[TensorBundle, "generated_features"], Annotated[dict[str, Any], "scored"]]:
    """γ and φ with this cycle's scorers, φ_ref with the first ones.

    ``kept_features`` are those of what the embedding generated that was kept before this cycle.
    """
    scored = score(
        state=LoopState(
            training_set_of(training_set),
            head=AestheticHead.from_tensors(aesthetic_head.tensors),
            first_head=AestheticHead.from_tensors(first_aesthetic_head.tensors),
            concept=ConceptScorer.from_tensors(concept_scorer.tensors),
            seeds_concept=ConceptScorer.from_tensors(seeds_concept_scorer.tensors),
            kept=None if kept_features is None else kept_features["generated"],
        ),
        generated=generated.images,
        encoders=encoders_of(on_device(settings, device)),
        features=features,
    )
    return (
        TensorBundle({"generated": scored.features, "statistics": scored.statistics}),
        {"metrics": scored.metrics, "generated": len(generated), "seconds": scored.seconds},
    )
