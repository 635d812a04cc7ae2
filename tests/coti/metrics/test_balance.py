from __future__ import annotations

import math

import pytest
import torch

from coti.core.errors import MetricError
from coti.metrics.balance import class_shares, evenness

NAMES = ("sandal", "sneaker", "ankle boot", "bag")


def test_shares_count_the_nearest_caption() -> None:
    """They add up to one."""
    features = torch.tensor([[1.0, 0.1, 0, 0], [0.9, 0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1.0]])
    shares = class_shares(features, torch.eye(4), NAMES)
    assert shares == {"sandal": 0.5, "sneaker": 0.0, "ankle boot": 0.25, "bag": 0.25}


def test_evenness_is_among_the_expected_classes() -> None:
    """Even: log2 of their number. One alone: 0 bits and all of it. None: all is elsewhere."""
    even = dict(zip(NAMES, (0.3, 0.3, 0.3, 0.1), strict=True))
    entropy, largest, covered = evenness(even, NAMES[:3])
    assert (entropy, largest) == (pytest.approx(math.log2(3)), pytest.approx(1 / 3))
    assert covered == pytest.approx(0.9)
    skewed = dict(zip(NAMES, (0.5, 0.0, 0.0, 0.5), strict=True))
    assert evenness(skewed, NAMES[:3]) == (0.0, 1.0, 0.5)
    elsewhere = dict(zip(NAMES, (0.0, 0.0, 0.0, 1.0), strict=True))
    assert evenness(elsewhere, NAMES[:3]) == (0.0, 1.0, 0.0)


def test_wrong_classes_are_named() -> None:
    """Expected ones must be measured; one class cannot be told from another."""
    with pytest.raises(MetricError, match="boat is not among the classes measured"):
        evenness({"sandal": 1.0}, ["boat"])
    with pytest.raises(MetricError, match="sandal is one class"):
        class_shares(torch.ones(1, 4), torch.eye(4)[:1], ["sandal"])
    with pytest.raises(MetricError, match="image_features must have shape"):
        class_shares(torch.ones(0, 4), torch.eye(4), NAMES)
