"""What a cycle's generations X_TI are worth: γ, φ and φ_ref for the loop, the judge's metrics."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.metrics import selection_precision
from coti.metrics.judge import judge_images, read_ground_truth
from coti.scores.aesthetic import AestheticHead
from coti.scores.scoring import ImageScorer, distance_to_training, fit_concept
from coti.settings import ConceptScoreSettings, EvaluationSettings, ModelSettings, ScorerSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.loaded_models import concept_encoder, inception_of, judge_of, scorer_of
from ops.stack.locations import locate

__all__ = ["evaluate_cycle"]


@step(
    cache_policy=CACHE_POLICY, output_materializers={"generated_features": TensorBundleMaterializer}
)
def evaluate_cycle(
    generated: ImageSet,
    references: TensorBundle,
    features: TensorBundle,
    aesthetic_head: TensorBundle,
    first_aesthetic_head: TensorBundle,
    kept_features: TensorBundle | None,
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    concept: str,
    model: ModelSettings,
    scorer: ScorerSettings,
    concept_score: ConceptScoreSettings,
    settings: EvaluationSettings,
    judge_fingerprint: str,
    ground_truth: str | None,
    ground_truth_fingerprint: str,
    seed: int,
) -> tuple[
    Annotated[TensorBundle, "generated_features"],
    Annotated[dict[str, Any], "evaluation"],
]:
    """γ_aes, γ_con and φ with this cycle's scorers, φ_ref with the first; FD, KID, R-precision.

    ``kept_features`` are those of what the word draws that was kept before this cycle.
    """
    started = time.monotonic()
    encoder = scorer_of(scorer)
    other = concept_encoder(concept_score, encoder, model)
    seeds = training_set["origin"] == "seed"
    members = [str(name) for name in training_set["id"]]
    scorers = [
        ImageScorer(
            encoder,
            other,
            AestheticHead.from_tensors(head.tensors),
            fit_concept(features, train_ids, concept_score, seed),
        )
        for head, train_ids in (
            (aesthetic_head, members),
            (first_aesthetic_head, list(training_set.loc[seeds, "id"])),
        )
    ]
    encoded = scorers[0].encode(generated.images)
    values = [each.indicator(encoded) for each in scorers]
    kept = None
    if kept_features is not None:
        kept = distance_to_training(kept_features["generated"], features, members)
    judge = judge_of(settings)
    verdict = judge_images(
        judge, generated.images, references, concept, settings, seed, inception_of(settings)
    )
    precision = None
    picked = list(training_set.loc[~seeds, "id"])
    if ground_truth is not None and picked:
        source = dict(zip(accepted["id"], accepted["source"], strict=True))
        found = selection_precision(
            [source[name] for name in picked],
            read_ground_truth(Path(locate(ground_truth)), concept),
        )
        precision = None if math.isnan(found) else found
    evaluation = {
        "phi": values[0].phi,
        "gamma_aes": values[0].gamma_aes,
        "gamma_con": values[0].gamma_con,
        "phi_ref": values[1].phi,
        "kid_train": distance_to_training(encoded.features, features, members),
        "kid_kept": kept,
        **verdict,
        "selection_precision": precision,
        "seconds": time.monotonic() - started,
    }
    return TensorBundle({"generated": encoded.features}), evaluation
