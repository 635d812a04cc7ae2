"""How far what an embedding generates is from the images it learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from coti.core.tensors import TensorBundle
from coti.metrics.kid import polynomial_mmd
from coti.scores.features_to_scores import rows_of

__all__ = ["distance_to_training"]


def distance_to_training(
    generated: torch.Tensor,  # X_TI on the scorer, L2-normalised [n, d], n ≥ 2
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    train_ids: Sequence[str],  # X_T, at least 2
) -> float:
    """How far generations are from the images that they were learned from, in kind and in variety.

    The unbiased squared MMD of Bińkowski et al. 2018, Eq. 4, with the kernel ``(cosine + 1)³``:
    KID on the scorer's features. φ is a mean of scores and the highest where few kinds of images
    are generated; this rises there. Distances to the same X_T can be compared, to different ones
    not: a small X_T is few kinds of images itself.

    Returns:
        About 0 (slightly below, too) where both look alike, at most some 8.

    Raises:
        MetricError: fewer than 2 images on a side.
    """
    wide = generated.shape[1] ** 0.5  # polynomial_mmd divides products by the width
    return polynomial_mmd(generated * wide, rows_of(features, train_ids) * wide)
