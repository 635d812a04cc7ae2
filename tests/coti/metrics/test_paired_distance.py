"""Kernel distances with errors: KID's value, and errors that are those of other draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import MetricError
from coti.metrics.kid import polynomial_mmd
from coti.metrics.paired_distance import Estimate, kernel_distance


def draw(count: int, shift: float, seed: int, width: int = 4) -> torch.Tensor:
    """Normal features around ``shift``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator) + shift


@given(st.integers(2, 30), st.integers(2, 30), st.floats(-2, 2), st.integers(0, 1000))
def test_it_is_kids_value_and_its_parts_sum_to_it(n: int, m: int, shift: float, seed: int) -> None:
    """And a checkpoint is not told from itself."""
    a, b = draw(n, shift, seed), draw(m, 0.0, seed + 1)
    found = kernel_distance(a, b)
    assert found.value == pytest.approx(polynomial_mmd(a, b), rel=1e-9, abs=1e-9)
    parts = (found.of_generated.mean() + found.of_others.mean()) / 2
    assert float(parts) == pytest.approx(found.value, rel=1e-9, abs=1e-9)
    low, high = found.estimate.interval
    assert low <= found.value <= high
    itself = found.minus(found, paired=True)
    assert itself == Estimate(0.0, 0.0)
    assert not itself.is_told_from_zero()


@pytest.mark.parametrize("paired", [True, False])
def test_the_error_is_that_of_other_draws(paired: bool) -> None:
    """Of 300 draws of both sides; where they are paired, the second is the first a little off."""
    values, errors, differences, difference_errors = [], [], [], []
    for seed in range(300):
        others = draw(60, 0.0, 3 * seed)
        first = draw(40, 0.8, 3 * seed + 1)
        second = first + 0.1 if paired else draw(40, 0.9, 3 * seed + 2)
        one, two = kernel_distance(first, others), kernel_distance(second, others)
        between = two.minus(one, paired)
        values.append(one.value)
        errors.append(one.estimate.error)
        differences.append(between.value)
        difference_errors.append(between.error)
    for found, said in ((values, errors), (differences, difference_errors)):
        true = float(torch.tensor(found).std())
        assert sum(said) / len(said) == pytest.approx(true, rel=0.15)


def test_what_cannot_be_subtracted_is_refused() -> None:
    """Other images on the other side, or other counts where generations are paired."""
    one = kernel_distance(draw(5, 1, 0), draw(6, 0, 1))
    with pytest.raises(MetricError, match="different images"):
        one.minus(kernel_distance(draw(5, 1, 0), draw(7, 0, 1)), paired=True)
    with pytest.raises(MetricError, match="as many"):
        one.minus(kernel_distance(draw(4, 1, 0), draw(6, 0, 1)), paired=True)
    with pytest.raises(MetricError):
        kernel_distance(draw(1, 1, 0), draw(6, 0, 1))
