"""Graded degradations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.scores.degradations import DEGRADATIONS, MAX_SEVERITY, degrade


def image(height: int, width: int) -> torch.Tensor:
    """A smooth coloured image: uint8 [1, 3, h, w]."""
    y, x = torch.meshgrid(torch.linspace(0, 6, height), torch.linspace(0, 6, width), indexing="ij")
    channels = torch.stack([y.sin(), x.cos(), (x + y).sin()])
    return ((channels + 1) * 127).to(torch.uint8)[None]


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_worse_with_severity(kind: str) -> None:
    """Severity 5 is farther from the image than severity 1, on average over draws."""
    images = image(64, 64).repeat(12, 1, 1, 1)

    def error(severity: int) -> float:
        changed = degrade(images, [kind] * 12, [severity] * 12, seed=0)
        return float((changed.float() - images.float()).square().mean())

    assert error(1) > 0
    assert error(MAX_SEVERITY) > 2 * error(1)


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(DEGRADATIONS)),
    st.integers(1, MAX_SEVERITY),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 1000),
)
def test_any_size(kind: str, severity: int, height: int, width: int, seed: int) -> None:
    """Images of any size keep it, and the same seed gives the same bytes."""
    images = image(height, width)
    first = degrade(images, [kind], [severity], seed)
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, degrade(images, [kind], [severity], seed))
