"""Shares of pairs against scikit-learn's and against counting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch.nn.functional import normalize

from coti.metrics.likeness import nearest, share_above, spread

VALUES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_share_above_is_the_area_under_the_roc_curve(values: list[int], than: list[int]) -> None:
    """Ties, too."""
    labels = [1] * len(values) + [0] * len(than)
    wanted = roc_auc_score(labels, values + than)
    found = share_above(torch.tensor(values).float(), torch.tensor(than).float())
    assert found == pytest.approx(wanted)


def test_nearest_leaves_out_the_image_itself() -> None:
    """By brute force, over more rows than a block."""
    generator = torch.Generator().manual_seed(0)
    shown = normalize(torch.randn(9000, 4, generator=generator), dim=1)
    few = shown[:50]
    assert torch.allclose(nearest(shown, few)[:50], torch.ones(50))
    cosines = few @ few.T
    cosines.fill_diagonal_(-2)
    assert torch.equal(nearest(few, few, others=True), cosines.amax(dim=1))
    assert nearest(shown[:0], few).shape == (0,)


def test_spread_is_the_mean_distance_of_pairs() -> None:
    """0 where all are one image."""
    features = normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    pairs = [1 - float(features[i] @ features[j]) for i in range(7) for j in range(7) if i != j]
    assert spread(features) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    assert spread(features[:1].expand(5, -1)) == pytest.approx(0, abs=1e-6)
