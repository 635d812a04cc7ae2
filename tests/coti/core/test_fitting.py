"""What part of an image is used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coti.core.fitting import Fit, fitted, kept_box

sides = st.integers(1, 90)
shares = st.floats(0, 1)


def noise(width: int, height: int) -> Image.Image:
    """An image of which no two pixels are likely to be equal."""
    random = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(sides, sides, st.sampled_from([8, 32]))
def test_by_default_the_centre_square_is_cut_out(width: int, height: int, side: int) -> None:
    """As every published number was measured: torchvision's CenterCrop, then one resize."""
    image, square = noise(width, height), min(width, height)
    left, top = (width - square) // 2, (height - square) // 2
    box = (left, top, left + square, top + square)
    expected = image.crop(box)
    if square != side:
        expected = image.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    assert fitted(image, (side, side)).tobytes() == expected.tobytes()


@given(sides, sides, shares, shares)
def test_the_focus_is_as_near_to_the_middle_as_the_image_lets_it(
    width: int, height: int, across: float, down: float
) -> None:
    """The largest square, within the image; the point is in it, in its middle or at a border."""
    left, top, right, bottom = kept_box((width, height), (1, 1), (across, down))
    assert right - left == bottom - top == min(width, height)
    for low, high, whole, share in ((left, right, width, across), (top, bottom, height, down)):
        assert 0 <= low < high <= whole
        assert low <= share * whole <= high
        assert abs((low + high) / 2 - share * whole) <= 1 or low == 0 or high == whole


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (40, 40), (1, 40)])
def test_pad_and_contain_keep_the_whole_image(size: tuple[int, int]) -> None:
    """It lies in the middle, the same in both; beside it is the ground, or its border drawn out."""
    image = noise(*size)
    padded, contained = (
        np.asarray(fitted(image, (60, 60), Fit(how, background="black"))).astype(int)
        for how in ("pad", "contain")
    )
    scale = 60 / max(size)
    width, height = (max(round(side * scale), 1) for side in size)
    left, top = (60 - width) // 2, (60 - height) // 2
    inside = np.zeros((60, 60), dtype=bool)
    inside[top : top + height, left : left + width] = True
    assert np.array_equal(padded[inside], contained[inside])
    whole = image if scale == 1 else image.resize((width, height), Image.Resampling.BICUBIC)
    assert np.abs(padded[inside].reshape(height, width, 3) - np.asarray(whole)).max() <= 1
    assert not padded[~inside].any()
    assert np.array_equal(contained[0, left : left + width], contained[top, left : left + width])
    assert np.array_equal(
        contained[top : top + height, -1], contained[top : top + height, -1 - left]
    )


@pytest.mark.parametrize("fit", [Fit(), Fit("crop", (0, 1)), Fit("pad"), Fit("contain")])
def test_of_a_square_every_rule_makes_the_same(fit: Fit) -> None:
    """Nothing is cut and nothing added."""
    assert fitted(noise(64, 64), (16, 16), fit) == fitted(noise(64, 64), (16, 16))
