"""Fidelity and variety apart: which images lie where the others' nearest neighbours are.

A set of features is taken for the balls about its points that reach to the k-th nearest of the
others. Distances are float64, exact rather than by matrix products, so that identical images are
at 0.
"""

from __future__ import annotations

import torch

from coti.core.errors import MetricError
from coti.metrics.frechet import check_features

__all__ = ["NEIGHBOURS", "density_coverage", "precision_recall"]

NEIGHBOURS = 5
"""k, as Naeem et al. 2020 take it."""
_ROWS = 512
"""Points that are compared at once."""


def precision_recall(
    generated: torch.Tensor,  # [n, d], n > k
    references: torch.Tensor,  # [m, d], m > k
    k: int = NEIGHBOURS,
) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, Eq. 1 and 2), 0 to 1 each.

    Precision is the share of generations inside a ball of the references, fidelity; recall the
    share of references inside a ball of the generations, variety, which a few outliers with large
    balls can raise.

    Raises:
        MetricError: k or fewer images on a side, widths that differ, or values that are not finite.

    >>> a = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> precision_recall(a + 1.5, a, k=1)  # all but 4.5; all but 0
    (0.75, 0.75)
    """
    _check(k, generated=generated, references=references)
    among_references, _ = _inside(generated, references, k)
    among_generated, _ = _inside(references, generated, k)
    return _share(among_references), _share(among_generated)


def density_coverage(
    generated: torch.Tensor,  # [n, d], n ≥ 1
    references: torch.Tensor,  # [m, d], m > k
    k: int = NEIGHBOURS,
) -> tuple[float, float]:
    """Density, 0 or more, and coverage, 0 to 1 (Naeem et al. 2020, Eq. 3 and 4).

    Density is the mean number of the references' balls that a generation lies in, over k: fidelity
    that one outlier among the references cannot raise. Coverage is the share of references whose
    ball holds a generation: variety that no outlier among the generations can raise.

    Raises:
        MetricError: no generation, k or fewer references, widths that differ, or values that are
            not finite.

    >>> a = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> density_coverage(a[:1], a, k=1)  # in the balls of 0 and 1
    (2.0, 0.5)
    """
    check_features(1, generated=generated, references=references)
    _check(k, references=references)
    of_generated, of_references = _inside(generated, references, k)
    return float(of_generated.double().mean()) / k, _share(of_references)


def _check(k: int, **features: torch.Tensor) -> None:
    if k < 1:
        raise MetricError(f"k must be at least 1, got {k}.")
    check_features(k + 1, **features)


def _inside(
    points: torch.Tensor, centres: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """In how many balls of ``centres`` each point lies, and how many points each ball holds."""
    points, centres = points.double(), centres.double()
    # A centre is its own nearest.
    reach = torch.cat(
        [
            _distances(rows, centres).kthvalue(k + 1, dim=1).values
            for rows in torch.split(centres, _ROWS)
        ]
    )
    balls, held = [], torch.zeros(len(centres), dtype=torch.int64)
    for rows in torch.split(points, _ROWS):
        inside = _distances(rows, centres) <= reach
        balls.append(inside.sum(dim=1))
        held += inside.sum(dim=0)
    return torch.cat(balls), held


def _distances(rows: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    return torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist")


def _share(counts: torch.Tensor) -> float:
    return float((counts > 0).double().mean())
