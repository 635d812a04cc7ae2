"""Kernel distances with standard errors, and whether one is truly less than another.

Checkpoints that generate from the same noise and are compared with the same images are paired: what
a hard prompt or an odd reference does to one it does to the others, so that differences are known
far better than the distances themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import torch

from coti.core.errors import MetricError
from coti.metrics.frechet import check_features
from coti.metrics.kid import cubic_kernel

__all__ = ["Estimate", "KernelDistance", "kernel_distance"]

_Z = 1.959964
"""Of the normal distribution, for 95 %."""


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error, over other draws of the images."""

    value: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %, by the normal distribution."""
        return self.value - _Z * self.error, self.value + _Z * self.error

    def half_width(self, comparisons: int = 1) -> float:
        """Half of the interval that holds for so many comparisons together in 95 % (Bonferroni)."""
        return NormalDist().inv_cdf(1 - 0.025 / max(1, comparisons)) * self.error

    def is_told_from_zero(self, comparisons: int = 1) -> bool:
        """Whether that interval leaves zero out."""
        return abs(self.value) > self.half_width(comparisons)


@dataclass(frozen=True)
class KernelDistance:
    """The unbiased squared MMD of generations to other images, and what each image adds to it."""

    value: float
    """About 0 where both look alike, slightly below, too."""
    of_generated: torch.Tensor
    """float64 [n]: by how much each generation pulls it up."""
    of_others: torch.Tensor
    """float64 [m]: by how much each of the other images does."""

    @property
    def estimate(self) -> Estimate:
        """With its standard error, of the draw of both sides."""
        error = _variance(self.of_generated) + _variance(self.of_others)
        return Estimate(self.value, error**0.5)

    def minus(self, other: KernelDistance, paired: bool) -> Estimate:
        """The difference of two distances to the same images.

        Args:
            other: of as many images on the other side, the same ones.
            paired: whether generation i of both has the same prompt and noise.

        Raises:
            MetricError: they are not of the same images, or of different counts though paired.
        """
        if self.of_others.shape != other.of_others.shape:
            raise MetricError("Distances to different images cannot be subtracted.")
        if paired and self.of_generated.shape != other.of_generated.shape:
            raise MetricError("Paired generations must be as many on both sides.")
        if paired:
            variance = _variance(self.of_generated - other.of_generated)
        else:
            variance = _variance(self.of_generated) + _variance(other.of_generated)
        variance += _variance(self.of_others - other.of_others)
        return Estimate(self.value - other.value, variance**0.5)


def kernel_distance(generated: torch.Tensor, others: torch.Tensor) -> KernelDistance:
    """KID's squared MMD (Bińkowski et al. 2018, Eq. 4) over all images at once.

    The standard error is that of its first-order projection (Hoeffding 1948): it is right where the
    two sides differ, as a checkpoint's images and real ones do, and too small where they are draws
    of the very same distribution.

    Args:
        generated: [n, d], n ≥ 2.
        others: [m, d], m ≥ 2, of the same encoder.

    Raises:
        MetricError: fewer than two images on a side, other widths, or values that are not finite.
    """
    check_features(2, generated=generated, others=others)
    a, b = generated.double(), others.double()
    within_a, within_b, across = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
    of_a = _mean_of_others(within_a) - across.mean(dim=1)
    of_b = _mean_of_others(within_b) - across.mean(dim=0)
    return KernelDistance(float(of_a.mean() + of_b.mean()), 2 * of_a, 2 * of_b)


def _mean_of_others(matrix: torch.Tensor) -> torch.Tensor:
    """Mean of each row without the diagonal."""
    return (matrix.sum(dim=1) - matrix.diagonal()) / (len(matrix) - 1)


def _variance(influences: torch.Tensor) -> float:
    """Of the mean over a draw of so many images."""
    return float(influences.var()) / len(influences)
