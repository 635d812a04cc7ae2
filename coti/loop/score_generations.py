"""Station 5 of a cycle: all that may steer, from what the embedding generates."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from coti.core.image_statistics import image_statistics
from coti.core.tensors import TensorBundle
from coti.loop.inputs import Encoders
from coti.loop.state import LoopState
from coti.metrics.training_distance import distance_to_training

__all__ = ["ScoredGenerations", "score_generations"]


@dataclass(frozen=True)
class ScoredGenerations:
    """All that may steer."""

    features: torch.Tensor
    """X_TI on the scorer, L2-normalised [n, d]."""
    statistics: torch.Tensor
    """Of X_TI's images, [n, 4]: :func:`coti.core.image_statistics.image_statistics`."""
    metrics: dict[str, float]
    seconds: float

    @property
    def gammas(self) -> tuple[float, float]:
        """γ_aes and γ_con, which weigh the next selection."""
        return self.metrics["gamma_aes"], self.metrics["gamma_con"]


def score_generations(
    state: LoopState,
    generated: torch.Tensor,  # X_TI, uint8 [n, 3, h, w]
    encoders: Encoders,  # what is scored on
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
) -> ScoredGenerations:
    """γ_aes, γ_con, φ with this cycle's scorers, φ_ref with the first; the distance to X_T."""
    began = time.monotonic()
    scorer = encoders.with_scores(*state.scorers)
    members = state.training_set.ids
    encoded = scorer.encode(generated)
    value = scorer.indicator(encoded)
    metrics = {
        "gamma_aes": value.gamma_aes,
        "gamma_con": value.gamma_con,
        "phi": value.phi,
        "phi_ref": encoders.with_scores(*state.first_scorers).indicator(encoded).phi,
        "kid_train": distance_to_training(encoded.features, features, members),
    }
    if state.kept is not None:
        metrics["kid_kept"] = distance_to_training(state.kept, features, members)
    statistics = image_statistics(generated)
    return ScoredGenerations(encoded.features, statistics, metrics, time.monotonic() - began)
