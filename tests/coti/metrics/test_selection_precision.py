"""Selection precision."""

from __future__ import annotations

import math

import pytest

from coti.core.errors import MetricError
from coti.metrics.selection_precision import selection_precision

GROUND_TRUTH = {"a": True, "b": False, "c": True}


def test_share_of_clean_ones() -> None:
    """The share of the selected that the ground truth calls clean."""
    assert selection_precision(["a", "b"], GROUND_TRUTH) == 0.5
    assert selection_precision(["a", "c"], GROUND_TRUTH) == 1.0


def test_nothing_selected() -> None:
    """Of nothing there is no share."""
    assert math.isnan(selection_precision([], GROUND_TRUTH))


def test_refuses() -> None:
    """An image that the ground truth does not know is an error."""
    with pytest.raises(MetricError, match="1 that it does not know, the first 'x'"):
        selection_precision(["a", "x"], GROUND_TRUTH)
