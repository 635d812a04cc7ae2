"""KID, against a naive double sum and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coti.core.errors import MetricError
from coti.metrics.kid import KID, kid, polynomial_mmd


def features(rows: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Random features of width 16."""
    return torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed)) + shift


def test_equals_the_naive_sum() -> None:
    """The unbiased MMD² is the printed double sum over pairs."""
    a, b = features(7, 0).double().numpy(), features(5, 1, 0.5).double().numpy()

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 16 + 1) ** 3)

    within_a = sum(kernel(a[i], a[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    within_b = sum(kernel(b[i], b[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    between = sum(kernel(x, y) for x in a for y in b) / 35
    expected = within_a + within_b - 2 * between
    assert polynomial_mmd(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected)


def test_equals_torch_fidelity() -> None:
    """Parity with torch-fidelity where its subsets are the whole sets."""
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    a, b = features(60, 0), features(60, 1, 0.3)
    result = fidelity.kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=60, verbose=False)
    ours = kid(a, b, subsets=1, subset_size=60)
    assert ours.mean == pytest.approx(result["kernel_inception_distance_mean"], rel=1e-5)


def test_identical_inputs_give_zero() -> None:
    """Identical inputs give 0 and no spread."""
    a = features(50, 0)
    assert kid(a, a.clone(), subset_size=20) == KID(0.0, 0.0, 0.0)


def test_unbiased() -> None:
    """Two draws of one distribution: around 0, and 0 lies in the interval."""
    result = kid(features(500, 0), features(500, 1), subsets=100, subset_size=100)
    assert abs(result.mean) < 0.02
    assert result.low < 0 < result.high


def test_interval_and_seed() -> None:
    """The mean lies in the interval, the same seed gives the same numbers, another does not."""
    a, b = features(200, 0), features(200, 1, 0.5)
    first = kid(a, b, subset_size=50, seed=3)
    assert first.low < first.mean < first.high
    assert first == kid(a, b, subset_size=50, seed=3)
    assert first != kid(a, b, subset_size=50, seed=4)


@pytest.mark.parametrize("size", [1, 21])
def test_refuses_subsets_that_do_not_fit(size: int) -> None:
    """A subset of one image, or larger than the smaller side, is an error that says so."""
    with pytest.raises(MetricError, match=f"subset_size must be from 2 to 20.*got {size}"):
        kid(features(20, 0), features(30, 1), subset_size=size)


def test_refuses_no_subsets() -> None:
    """Zero subsets are an error."""
    with pytest.raises(MetricError, match="subsets must be at least 1, got 0"):
        kid(features(20, 0), features(30, 1), subsets=0, subset_size=5)
