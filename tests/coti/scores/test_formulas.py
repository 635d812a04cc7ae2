"""γ, the weights of Eq. 11, S_int and φ."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import coti.scores.formulas
from coti.core.errors import MetricError
from coti.scores.formulas import gamma, indicator, intelligent_score, score_weights, smooth_clamp

scale = st.floats(0, 10)


def test_examples_in_docstrings() -> None:
    """The docstrings' examples run."""
    assert doctest.testmod(coti.scores.formulas).failed == 0


def test_gamma_is_the_mean() -> None:
    """Eq. 9, 10: the mean of the scores."""
    assert gamma(torch.tensor([0.0, 10.0, 5.0, 9.0])) == 6.0


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (torch.empty(0), r"at least one value, got \[0\]"),
        (torch.tensor([1.0, 10.5]), r"scores must lie in \[0, 10\], got values from 1.0 to 10.5"),
        (torch.tensor([math.nan]), "got values from nan"),
    ],
)
def test_gamma_refuses(scores: torch.Tensor, text: str) -> None:
    """No scores, or scores off the scale, are an error that says so."""
    with pytest.raises(MetricError, match=text):
        gamma(scores)


@given(scale, scale)
def test_weights_as_printed(gamma_aes: float, gamma_con: float) -> None:
    """Without a floor the weights are Eq. 11's."""
    assert score_weights(gamma_aes, gamma_con) == (1 - gamma_aes / 10, 1 - gamma_con / 10)


@given(scale, scale, st.floats(0, 1))
def test_weights_keep_the_floor(gamma_aes: float, gamma_con: float, floor: float) -> None:
    """No weight is below the floor or above 1."""
    for weight in score_weights(gamma_aes, gamma_con, floor):
        assert floor <= weight <= 1


def test_satisfied_score_has_no_say_as_printed() -> None:
    """Eq. 11 as printed: at γ_con 10 the order is S_aes's alone; with a floor it is not."""
    s_aes, s_con = torch.tensor([9.0, 8.0]), torch.tensor([0.0, 10.0])
    assert intelligent_score(s_aes, s_con, 5.0, 10.0).argmax() == 0
    assert intelligent_score(s_aes, s_con, 5.0, 10.0, floor=0.3).argmax() == 1


@given(scale, scale)
def test_indicator_is_eq_12(gamma_aes: float, gamma_con: float) -> None:
    """φ is symmetric, on the scale, and the printed formula."""
    phi = indicator(gamma_aes, gamma_con)
    assert phi == pytest.approx(indicator(gamma_con, gamma_aes))
    assert 0 <= phi <= 10
    assert phi == 10 * math.sin(math.pi * gamma_aes / 20) * math.sin(math.pi * gamma_con / 20) or (
        phi
        == pytest.approx(
            10 * math.sin(math.pi / 20 * gamma_aes) * math.sin(math.pi / 20 * gamma_con)
        )
    )


@given(scale, scale, scale)
def test_indicator_rises_with_either(low: float, high: float, other: float) -> None:
    """More of either γ never lowers φ."""
    low, high = sorted((low, high))
    assert indicator(low, other) <= indicator(high, other) + 1e-12


@given(st.floats(-5, 15), st.floats(1e-2, 5))
def test_smooth_clamp_keeps_order(value: float, step: float) -> None:
    """Scores end in [0, 10], and of two different ones the higher stays higher."""
    low, high = smooth_clamp(torch.tensor([value, value + step], dtype=torch.float64)).tolist()
    assert 0 <= low < high <= 10


def test_smooth_clamp_is_the_identity_in_the_middle() -> None:
    """From 2 to 8 a score moves by 0.01 at most."""
    middle = torch.linspace(2, 8, 61)
    assert torch.allclose(smooth_clamp(middle), middle, atol=0.011)
    assert smooth_clamp(torch.tensor(1e4)) == 10
    assert smooth_clamp(torch.tensor(-1e4)) == 0
