from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.settings import PromotionSettings
from ops.registry.gate import SAME, judge_promotion

SETTINGS = PromotionSettings(
    fd_margin=0.1, r_precision_margin=0.02, fd_ceiling=100.0, r_precision_floor=0.5, min_samples=64
)


def _measured(fd: float | None = 10.0, precision: float = 0.9, **changes: Any) -> dict[str, Any]:
    return {
        "fd_judge": fd,
        "r_precision": precision,
        "judge_hash": "j",
        "references_hash": "r",
        "generated": 256,
        "references": 1000,
        "r_precision_candidates": 10,
        **changes,
    }


def test_a_first_champion_needs_the_absolute_floors() -> None:
    """Without a champion the floor of R-precision and the ceiling of the distance decide."""
    assert judge_promotion(_measured(), None, SETTINGS).promoted
    low = judge_promotion(_measured(precision=0.4), None, SETTINGS).reason
    assert "R-precision is 0.4 and must be at least 0.5" in low
    assert "at most 100" in judge_promotion(_measured(fd=101.0), None, SETTINGS).reason


@pytest.mark.parametrize("name", SAME)
def test_metrics_measured_otherwise_are_not_compared(name: str) -> None:
    """Another judge, other references or counts: not promoted, and the difference is named."""
    verdict = judge_promotion(_measured(fd=1.0, precision=1.0), _measured(**{name: 999}), SETTINGS)
    assert not verdict.promoted
    assert name in verdict.reason


def test_too_few_samples_or_no_references_never_promote() -> None:
    """A number behind which there is little or nothing decides nothing."""
    assert "63" in judge_promotion(_measured(generated=63), None, SETTINGS).reason
    assert "references" in judge_promotion(_measured(fd=None), None, SETTINGS).reason


def test_a_champion_without_a_metric_is_said() -> None:
    """As one of an earlier version is, whose metrics had other names."""
    verdict = judge_promotion(_measured(), _measured(fd=None), SETTINGS)
    assert not verdict.promoted
    assert "the champion has no fd_judge" in verdict.reason


@given(
    fd=st.floats(0, 50),
    precision=st.floats(0, 1),
    champion_fd=st.floats(0, 50),
    champion_precision=st.floats(0, 1),
)
def test_a_champion_falls_to_both_metrics_only(
    fd: float, precision: float, champion_fd: float, champion_precision: float
) -> None:
    """Promoted exactly where both are better by their margins."""
    verdict = judge_promotion(
        _measured(fd, precision), _measured(champion_fd, champion_precision), SETTINGS
    )
    better = fd <= champion_fd * 0.9 and precision >= champion_precision + 0.02
    assert verdict.promoted == better
