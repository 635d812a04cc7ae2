"""Station 5 of a cycle: all that may steer, from what the embedding generates."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from coti.core.tensors import TensorBundle
from coti.loop.inputs import Encoders
from coti.loop.training_set import TrainingSet
from coti.metrics.training_distance import distance_to_training
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer

__all__ = ["ScoredGenerations", "score_generations"]


@dataclass(frozen=True)
class ScoredGenerations:
    """All that may steer."""

    features: torch.Tensor
    """X_TI on the scorer, L2-normalised [n, d]."""
    metrics: dict[str, float]
    seconds: float


def score_generations(
    generated: torch.Tensor,  # X_TI, uint8 [n, 3, h, w]
    encoders: Encoders,  # what is scored on
    head: AestheticHead,  # θ of this cycle
    concept: ConceptScorer,  # S_con against this X_T
    first_head: AestheticHead,  # θ_0
    seeds_concept: ConceptScorer,  # S_con against the seeds alone
    features: TensorBundle,  # of coti.scores.scoring.embed_images
    training_set: TrainingSet,  # X_T
    kept: torch.Tensor | None,  # features of what the embedding kept before generated, or none
) -> ScoredGenerations:
    """γ_aes, γ_con, φ with this cycle's scorers, φ_ref with the first; the distance to X_T."""
    began = time.monotonic()
    scorer = encoders.with_scores(head, concept)
    encoded = scorer.encode(generated)
    value = scorer.indicator(encoded)
    metrics = {
        "gamma_aes": value.gamma_aes,
        "gamma_con": value.gamma_con,
        "phi": value.phi,
        "phi_ref": encoders.with_scores(first_head, seeds_concept).indicator(encoded).phi,
        "kid_train": distance_to_training(encoded.features, features, training_set.ids),
    }
    if kept is not None:
        metrics["kid_kept"] = distance_to_training(kept, features, training_set.ids)
    return ScoredGenerations(encoded.features, metrics, time.monotonic() - began)
