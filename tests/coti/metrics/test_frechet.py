"""The Fréchet distance, against scipy's matrix root and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import MetricError
from coti.metrics.frechet import frechet_distance


def features(rows: int, width: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Correlated features, as real ones are."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator) / width**0.5
    return torch.randn(rows, width, generator=generator) @ mix + shift


def test_equals_scipy() -> None:
    """Parity with the formula by scipy's general matrix root, on full-rank covariances."""
    linalg = pytest.importorskip("scipy.linalg")
    a, b = features(400, 32, 0), features(300, 32, 1, 0.3)
    mean = np.square(a.double().mean(0).numpy() - b.double().mean(0).numpy()).sum()
    cov_a, cov_b = (np.cov(x.double().numpy(), rowvar=False) for x in (a, b))
    root = linalg.sqrtm(cov_a @ cov_b)
    expected = mean + np.trace(cov_a + cov_b - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [400, 20])
def test_equals_torch_fidelity(rows: int) -> None:
    """Parity with torch-fidelity, on full-rank and on singular covariances."""
    fidelity = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = features(rows, 32, 0), features(rows, 32, 1, 0.3)
    statistics = [fidelity.fid_features_to_statistics(x) for x in (a, b)]
    result = fidelity.fid_statistics_to_metric(*statistics, verbose=False)
    assert frechet_distance(a, b) == pytest.approx(result["frechet_inception_distance"], rel=1e-5)


def test_known_gaussians() -> None:
    """One dimension by hand: (μ_a − μ_b)² + (σ_a − σ_b)²."""
    a = torch.tensor([[-1.0], [1.0]])  # mean 0, variance 2
    b = torch.tensor([[1.0], [5.0]])  # mean 3, variance 8
    assert frechet_distance(a, b) == pytest.approx(9 + (2**0.5 - 8**0.5) ** 2)


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(1, 20), st.integers(0, 100))
def test_metric_properties(rows: int, width: int, seed: int) -> None:
    """Identical inputs give 0, order does not matter, nothing is negative or not a number."""
    a, b = features(rows, width, seed), features(rows + 3, width, seed + 1)
    assert frechet_distance(a, a.clone()) == 0.0
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-5)
    forth, back = frechet_distance(a, b), frechet_distance(b, a)
    assert forth >= 0
    assert forth == pytest.approx(back, rel=1e-6, abs=1e-6)


def test_constant_features() -> None:
    """Covariances of zeros are no trouble: only the means count."""
    assert frechet_distance(torch.zeros(5, 3), torch.ones(4, 3)) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (
            torch.rand(1, 3),
            torch.rand(5, 3),
            r"features_a must have shape \[n, d\] with n ≥ 2, got \[1, 3\]",
        ),
        (torch.rand(5, 3), torch.rand(5), r"features_b must have shape .* got \[5\]"),
        (torch.rand(5, 3), torch.rand(5, 4), "one width, got 3 and 4"),
        (torch.full((5, 3), torch.inf), torch.rand(5, 3), "features_a must be finite"),
    ],
)
def test_refuses(a: torch.Tensor, b: torch.Tensor, text: str) -> None:
    """What it is not defined on is an error naming the argument, the allowed and the given."""
    with pytest.raises(MetricError, match=text):
        frechet_distance(a, b)
