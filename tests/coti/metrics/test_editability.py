from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from coti.core.errors import MetricError
from coti.metrics.editability import editability, reconstruction


def test_reconstruction_is_the_mean_of_all_pairs() -> None:
    """The same as every cosine written out; 1 for images of one direction."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(7, 5, generator=generator), torch.randn(4, 5, generator=generator)
    pairs = cosine_similarity(ours[:, None].double(), theirs[None].double(), dim=-1)
    assert reconstruction(ours, theirs) == pytest.approx(float(pairs.mean()))
    assert reconstruction(ours[:1], 3 * ours[:1]) == pytest.approx(1.0)


def test_editability_is_the_cosine_of_the_mean_image() -> None:
    """Length of single features doesn't count, direction does."""
    text = torch.tensor([[1.0, 0.0]])
    assert editability(torch.tensor([[1.0, 1.0], [5.0, -5.0]]), text) == pytest.approx(1.0)
    assert editability(torch.tensor([[0.0, 2.0]]), text) == pytest.approx(0.0)


def test_wrong_shapes_are_named() -> None:
    """Empty, or of two widths."""
    rows = torch.ones(2, 3)
    with pytest.raises(MetricError, match="generated must have shape"):
        reconstruction(rows[:0], rows)
    with pytest.raises(MetricError, match="one width"):
        reconstruction(rows, torch.ones(2, 4))
