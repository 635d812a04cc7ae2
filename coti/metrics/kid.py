"""Kernel distance KID (Bińkowski et al. 2018) with an interval from subsets."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from coti.core.errors import MetricError
from coti.metrics.frechet import check_features

__all__ = ["KID", "cubic_kernel", "kid", "polynomial_mmd"]


@dataclass(frozen=True)
class KID:
    """A KID and its interval."""

    mean: float
    """Mean over the subsets; unbiased, so it can be slightly negative."""
    low: float
    """2.5th percentile over the subsets."""
    high: float
    """97.5th percentile over the subsets."""


def polynomial_mmd(features_a: torch.Tensor, features_b: torch.Tensor) -> float:
    """Unbiased squared MMD with the kernel ``(x·y/d + 1)³``, in float64 (their Eq. 4).

    Features are [n, d] and [m, d], at least 2 rows each.
    """
    check_features(2, features_a=features_a, features_b=features_b)
    a, b = features_a.double(), features_b.double()
    return float(
        _off_diagonal_mean(cubic_kernel(a, a)) + _off_diagonal_mean(cubic_kernel(b, b))
    ) - 2 * float(cubic_kernel(a, b).mean())


def kid(
    features_a: torch.Tensor,  # [n, d], generated images
    features_b: torch.Tensor,  # [m, d], references
    subsets: int = 50,
    subset_size: int = 100,  # images of either side in a subset, drawn without replacement
    seed: int = 0,  # of the draws
) -> KID:
    """KID: the mean of :func:`polynomial_mmd` over random subsets, and its 95 % interval.

    Returns:
        Mean, 2.5th and 97.5th percentile. Identical inputs give 0 without any spread.

    Raises:
        MetricError: a subset is larger than either side, or has fewer than 2 images.
    """
    check_features(2, features_a=features_a, features_b=features_b)
    least = min(len(features_a), len(features_b))
    if not 2 <= subset_size <= least:
        raise MetricError(
            f"subset_size must be from 2 to {least}, the smaller number of images, got "
            f"{subset_size}."
        )
    if subsets < 1:
        raise MetricError(f"subsets must be at least 1, got {subsets}.")
    if torch.equal(features_a, features_b):
        return KID(0.0, 0.0, 0.0)
    generator = torch.Generator().manual_seed(seed)
    values = torch.empty(subsets, dtype=torch.float64)
    for subset in range(subsets):
        rows_a = torch.randperm(len(features_a), generator=generator)[:subset_size]
        rows_b = torch.randperm(len(features_b), generator=generator)[:subset_size]
        values[subset] = polynomial_mmd(features_a[rows_a], features_b[rows_b])
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return KID(float(values.mean()), low, high)


def cubic_kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``(x·y/d + 1)³`` of all rows [n, d] with all rows [m, d]: [n, m]."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _off_diagonal_mean(matrix: torch.Tensor) -> torch.Tensor:
    count = len(matrix)
    return (matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1))
