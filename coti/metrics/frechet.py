"""Fréchet distance of two feature sets (Heusel et al. 2017); FID on Inception's features only."""

from __future__ import annotations

import torch

from coti.core.errors import MetricError

__all__ = ["check_features", "frechet_distance"]


def frechet_distance(features_a: torch.Tensor, features_b: torch.Tensor) -> float:
    """Fréchet distance ``|μ_a − μ_b|² + tr(Σ_a + Σ_b − 2(Σ_a Σ_b)^½)``, in float64.

    The trace of the root is taken from the symmetric product Σ_a^½ Σ_b Σ_a^½, whose eigenvalues
    are those of Σ_a Σ_b and real even where a covariance is singular (fewer images than
    features), so nothing is added to the diagonal and nothing imaginary is dropped.

    Args:
        features_a: [n, d], at least 2 rows.
        features_b: [m, d], at least 2 rows. Report n, m with the number: the estimate is biased
            upwards for few images and comparable for equal counts only.

    Returns:
        The distance, 0 or more; 0 for identical inputs.

    Raises:
        MetricError: too few rows, widths that differ, or values that are not finite.
    """
    check_features(2, features_a=features_a, features_b=features_b)
    if torch.equal(features_a, features_b):
        return 0.0
    mean_a, covariance_a = _moments(features_a)
    mean_b, covariance_b = _moments(features_b)
    root_a = _root(covariance_a)
    product = root_a @ covariance_b @ root_a
    trace = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    shift = (mean_a - mean_b).square().sum()
    distance = shift + covariance_a.trace() + covariance_b.trace() - 2 * trace
    return max(0.0, float(distance))


def check_features(least: int = 1, **features: torch.Tensor) -> None:
    """Refuse what no metric of features is defined on: [n, d] each, finite, of one width.

    Raises:
        MetricError: naming the argument, what is allowed, and what came.
    """
    for name, rows in features.items():
        if rows.ndim != 2 or len(rows) < least:
            raise MetricError(
                f"{name} must have shape [n, d] with n ≥ {least}, got {list(rows.shape)}."
            )
        if not rows.isfinite().all():
            raise MetricError(f"{name} must be finite, got NaN or infinite values.")
    widths = [rows.shape[1] for rows in features.values()]
    if len(set(widths)) > 1:
        wrong = " and ".join(map(str, widths))
        raise MetricError(f"{' and '.join(features)} must have one width, got {wrong}.")


def _moments(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean [d] and unbiased covariance [d, d] in float64."""
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """Symmetric root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    root: torch.Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
