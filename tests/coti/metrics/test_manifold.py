"""Precision, recall, density, coverage: the authors' implementation's numbers, and limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from coti.core.errors import MetricError
from coti.metrics import manifold
from coti.metrics.manifold import density_coverage, precision_recall

PRDC = {"precision": 0.85, "recall": 0.5833333333333334, "density": 0.73, "coverage": 0.6}
"""Of PyPI's prdc 0.2, its authors' (Naeem et al. 2020), on :func:`gaussians`::

    prdc.compute_prdc(real, fake, nearest_k=5)
"""


def gaussians() -> tuple[torch.Tensor, torch.Tensor]:
    """Real [60, 8] and fake [40, 8]."""
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((60, 8)), 0.9 * random.standard_normal((40, 8)) + 0.8
    return torch.from_numpy(real), torch.from_numpy(fake)


def points(count: int, width: int, seed: int) -> torch.Tensor:
    """Float32 [count, width]."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [manifold._ROWS, 7])
def test_equals_prdc(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number of rows is compared at once."""
    monkeypatch.setattr(manifold, "_ROWS", rows)
    real, fake = gaussians()
    found = (*precision_recall(fake, real), *density_coverage(fake, real))
    assert found == pytest.approx(tuple(PRDC.values()), rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(7, 30), st.integers(7, 30), st.integers(1, 6), st.integers(0, 99))
def test_equals_scikit_learns_neighbours(n: int, m: int, k: int, seed: int) -> None:
    """The definitions, by another search."""
    fake, real = points(n, 4, seed).double(), points(m, 4, seed + 1).double() + 0.5

    def reach(of: torch.Tensor) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k + 1).fit(of).kneighbors(of)[0][:, k]

    apart = np.linalg.norm(fake[:, None] - real[None], axis=-1)
    in_real, in_fake = apart <= reach(real)[None], apart <= reach(fake)[:, None]
    assert precision_recall(fake, real, k) == (in_real.any(1).mean(), in_fake.any(0).mean())
    assert density_coverage(fake, real, k) == pytest.approx(
        (in_real.sum(1).mean() / k, in_real.any(0).mean())
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 40), st.integers(1, 12), st.integers(0, 99), st.booleans())
def test_identical_sets_are_perfect_and_order_does_not_matter(
    count: int, width: int, seed: int, doubled: bool
) -> None:
    """Images that occur twice, too; sets far apart have nothing of each other."""
    real = points(count, width, seed)
    real = torch.cat([real, real]) if doubled else real
    assert precision_recall(real, real) == (1.0, 1.0)
    assert density_coverage(real, real)[1] == 1.0
    fake = points(count, width, seed + 1) + 0.5
    mixed = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    for metric in (precision_recall, density_coverage):
        assert metric(fake[mixed], real.flip(0)) == pytest.approx(metric(fake, real))
        assert metric(fake + 1e4, real) == (0.0, 0.0)


def test_few_alike_generations_have_precision_and_no_coverage() -> None:
    """What a distance alone cannot tell: one image again and again, and noise about everything."""
    real = points(200, 3, 0)
    one = real[:1] + 1e-3 * points(50, 3, 1)
    assert precision_recall(one, real)[0] == 1.0
    assert density_coverage(one, real)[1] < 0.1
    wide = 4 * points(200, 3, 2)
    assert precision_recall(wide, real)[0] < 0.5


def test_too_few_images_are_an_error() -> None:
    """Named with what is allowed; coverage of a single generation is defined."""
    real = points(6, 2, 0)
    assert density_coverage(real[:1], real)[1] > 0
    with pytest.raises(MetricError, match=r"generated must have shape \[n, d\] with n ≥ 6"):
        precision_recall(real[:5], real)
    with pytest.raises(MetricError, match=r"references must have shape \[n, d\] with n ≥ 6"):
        density_coverage(real, real[:5])
    with pytest.raises(MetricError, match="one width"):
        density_coverage(points(6, 3, 0), real)
    with pytest.raises(MetricError, match="k must be at least 1"):
        precision_recall(real, real, k=0)
