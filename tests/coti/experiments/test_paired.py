"""Intervals over concepts and seeds hold what they promise, and Holm's numbers are Holm's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from coti.experiments.paired import estimate, estimate_share, holm

KEYS = [(f"concept {c}", seed) for c in range(6) for seed in range(3)]


@pytest.mark.parametrize(
    ("between", "least", "most"), [(0.0, 0.94, 1.0), (0.5, 0.93, 0.99), (3.0, 0.90, 0.97)]
)
def test_an_interval_covers_the_truth_as_often_as_it_says(
    between: float, least: float, most: float
) -> None:
    """Six concepts of three seeds, however much concepts differ: about 95 of 100 intervals."""
    rng = np.random.default_rng(1)
    hit = 0
    for _ in range(600):
        concepts = rng.normal(0, between, 6).repeat(3)
        values = dict(zip(KEYS, 1.0 + concepts + rng.normal(0, 1, 18), strict=True))
        found = estimate(values)
        hit += found.low <= 1.0 <= found.high
    assert least <= hit / 600 <= most


def test_a_test_without_an_effect_finds_one_as_seldom_as_it_says() -> None:
    """p below 0.05 in about 5 of 100, p and interval agree, and one side is half of both."""
    rng = np.random.default_rng(2)
    found = [
        estimate(dict(zip(KEYS, rng.normal(0, 1, 6).repeat(3) + rng.normal(0, 1, 18), strict=True)))
        for _ in range(600)
    ]
    assert 0.01 <= np.mean([each.p() < 0.05 for each in found]) <= 0.08
    for each in found:
        assert (each.p() < 0.05) == (not each.low <= 0 <= each.high)
        assert min(each.p(side="greater"), 1 - each.p(side="greater")) == pytest.approx(
            each.p() / 2
        )


def test_what_can_be_detected_is_detected_so_often() -> None:
    """Of true differences as large as the one printed, four of five are found."""
    rng = np.random.default_rng(3)
    noise = [rng.normal(0, 1, 6).repeat(3) for _ in range(600)]
    sizes = [estimate(dict(zip(KEYS, each, strict=True))).detectable(0.05) for each in noise]
    true = float(np.median(sizes))
    p = [estimate(dict(zip(KEYS, true + each, strict=True))).p() for each in noise]
    assert 0.7 <= np.mean(np.array(p) < 0.05) <= 0.9


def test_with_one_seed_it_is_the_t_test_of_concepts() -> None:
    """The bootstrap's own error, of n instead of n - 1, would call 7 of 100 nothings a find."""
    values = np.random.default_rng(4).normal(1, 1, 6)
    found = estimate({(f"c{i}", 0): value for i, value in enumerate(values)})
    assert found.error == pytest.approx(stats.sem(values))
    assert found.p() == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_a_share_is_of_the_means() -> None:
    """2 and 4 of 4 and 8; pairs that one lacks count in neither."""
    part = {("a", 0): 2.0, ("b", 0): 4.0, ("c", 0): 99.0}
    found = estimate_share(part, {("a", 0): 4.0, ("b", 0): 8.0})
    assert (found.value, found.pairs) == (0.5, 2)
    assert found.error == pytest.approx(0.0)


def test_one_concept_has_no_interval() -> None:
    """A mean, and nothing that would pretend to know how concepts differ."""
    found = estimate({("a", 0): 1.0, ("a", 1): 3.0})
    assert found.value == 2.0
    assert all(map(math.isnan, (found.low, found.high, found.p(), found.detectable(0.05))))
    assert math.isnan(estimate({}).value)


def test_differences_without_any_chance_are_sure() -> None:
    """All pairs differ by the same: p is 0, or 1 where they differ by nothing."""
    assert estimate({("a", 0): 1.0, ("b", 0): 1.0}).p() == 0.0
    assert estimate({("a", 0): 0.0, ("b", 0): 0.0}).p() == 1.0
    assert estimate({("a", 0): -1.0, ("b", 0): -1.0}).p(side="greater") == 1.0


def test_holm_by_hand_and_by_statsmodels() -> None:
    """Numbers of statsmodels' multipletests(method="holm"); a missing test counts as one."""
    p = [0.0002, 0.0291, 0.0009, 0.9, 0.0301, 0.012]
    wanted = [0.0012, 0.0873, 0.0045, 0.9, 0.0873, 0.048]
    assert holm(p) == pytest.approx(wanted)
    assert holm([0.01, math.nan])[0] == pytest.approx(0.02)
    assert math.isnan(holm([0.01, math.nan])[1])
    assert holm([]) == []
