"""R-precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import MetricError
from coti.metrics.r_precision import r_precision, share_interval

CAPTIONS = torch.eye(4)


def test_counts_images_whose_own_caption_is_nearest() -> None:
    """Two of three images are nearest to caption 1; scale does not matter."""
    images = torch.tensor([[0.1, 9.0, 0, 0], [0.0, 0.2, 0.1, 0], [1.0, 0.5, 0, 0]])
    assert r_precision(images, CAPTIONS, own=1) == pytest.approx(2 / 3)
    assert r_precision(images, CAPTIONS, own=1, top=2) == 1.0


def test_ties_do_not_count() -> None:
    """A model that sees no difference gets 0, not 1."""
    assert r_precision(torch.ones(5, 4), CAPTIONS, own=0) == 0.0


@given(st.integers(0, 100), st.integers(0, 3))
def test_grows_with_top(seed: int, own: int) -> None:
    """A larger top never lowers it, and top of all is 1."""
    images = torch.randn(9, 4, generator=torch.Generator().manual_seed(seed))
    values = [r_precision(images, CAPTIONS, own, top) for top in (1, 2, 3, 4)]
    assert values == sorted(values)
    assert values[-1] == 1.0


@given(st.integers(1, 400), st.floats(0, 1))
def test_its_interval_is_scipys(images: int, part: float) -> None:
    """Wilson's, for every share of so many images."""
    from scipy.stats import binomtest

    right = round(part * images)
    low, high = share_interval(right / images, images)
    wanted = binomtest(right, images).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_refuses_shapes() -> None:
    """No images, or features of another width, are errors naming the shapes."""
    with pytest.raises(MetricError, match=r"image_features must have shape .* got \[0, 4\]"):
        r_precision(torch.rand(0, 4), CAPTIONS, 0)
    with pytest.raises(MetricError, match="one width, got 3 and 4"):
        r_precision(torch.rand(2, 3), CAPTIONS, 0)
    with pytest.raises(MetricError, match="another caption"):
        r_precision(torch.rand(2, 4), torch.rand(1, 4), 0)
