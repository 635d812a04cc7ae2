"""What a judge that was trained on no names says of generated images, and of X_T itself.

Names teach a network to put all images of a kind in one place. Features that were learned without
them keep what differs inside a kind, so fidelity and variety can be told apart on them.
"""

from __future__ import annotations

import torch

from coti.metrics.frechet import frechet_distance
from coti.metrics.kid import kid
from coti.metrics.manifold import density_coverage, precision_recall

__all__ = ["judge_generations", "judge_training_set"]


def judge_generations(
    generated: torch.Tensor,  # [n, d], of the class-blind judge
    references: torch.Tensor,  # [m, d]
    subsets: int,  # of KID
    subset_size: int,  # at most n and m
    seed: int,  # of KID's draws
) -> dict[str, float]:
    """Distances, fidelity and variety of generations, by name of the table of metrics.

    Raises:
        MetricError: fewer images than the neighbours that are looked at, or than a subset holds.
    """
    precision, recall = precision_recall(generated, references)
    density, coverage = density_coverage(generated, references)
    return {
        "fd_ssl": frechet_distance(generated, references),
        "kid_ssl": kid(generated, references, subsets, subset_size, seed).mean,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def judge_training_set(
    training_set: torch.Tensor,  # X_T, [n, d], of the class-blind judge
    references: torch.Tensor,  # [m, d]
) -> dict[str, float]:
    """What X_T is worth before anything is trained on it.

    X_T may have fewer images than features: its distance is then biased upwards, and is to be
    compared among X_T of one size.

    Raises:
        MetricError: fewer than two images of X_T, or fewer references than neighbours.
    """
    return {
        "xt_fd_ssl": frechet_distance(training_set, references),
        "xt_coverage": density_coverage(training_set, references)[1],
    }
