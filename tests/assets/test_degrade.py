"""Degradations: graded, deterministic, and loud about bad input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from assets.build.degrade import ALTERATIONS, DEGRADATIONS, FAULTS, collage, degrade

ALL_KINDS = DEGRADATIONS + ALTERATIONS + FAULTS


def _image(colour: bool = False) -> npt.NDArray[np.uint8]:
    """A light shape with some texture on black, as the images of the world are."""
    image = np.zeros((32, 32), np.uint8)
    texture = np.random.default_rng(0).integers(120, 256, (20, 16))
    image[6:26, 8:24] = texture
    return np.repeat(image[..., None], 3, axis=2) if colour else image


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("colour", [False, True])
def test_keeps_shape_and_type(kind: str, colour: bool) -> None:
    """A degraded image has the shape and type of the image, which stays as it was."""
    image = _image(colour)
    before = image.copy()
    for severity in range(6):
        worse = degrade(image, kind, severity, np.random.default_rng(1))
        assert worse.shape == image.shape
        assert worse.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_severity_zero_is_the_image(kind: str) -> None:
    """Severity 0 changes nothing, every other severity does."""
    image = _image()
    np.testing.assert_array_equal(degrade(image, kind, 0, np.random.default_rng(0)), image)
    for severity in range(1, 6):
        worse = degrade(image, kind, severity, np.random.default_rng(0))
        assert not np.array_equal(worse, image)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_same_generator_same_bytes(kind: str) -> None:
    """Equal generators give equal bytes."""
    first, second = (degrade(_image(), kind, 4, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind != "collage"])
def test_more_severe_is_further_away(kind: str) -> None:
    """The mean distance to the image grows with severity, over twenty draws."""
    image = _image().astype(float)

    def distance(severity: int) -> float:
        draws = [
            degrade(_image(), kind, severity, np.random.default_rng(seed)) for seed in range(20)
        ]
        return float(np.mean([np.abs(draw - image).mean() for draw in draws]))

    distances = [distance(severity) for severity in (1, 3, 5)]
    assert distances == sorted(distances)
    assert distances[2] > 1.3 * distances[0]


def test_grey_and_colour_agree() -> None:
    """A grey image and the same image as RGB are degraded alike."""
    for kind in ALL_KINDS:
        if kind == "jpeg":  # colour JPEG stores colour differences, so it rounds otherwise
            continue
        grey = degrade(_image(), kind, 4, np.random.default_rng(3))
        colour = degrade(_image(colour=True), kind, 4, np.random.default_rng(3))
        np.testing.assert_allclose(colour, np.repeat(grey[..., None], 3, axis=2), atol=1)


def test_collage_holds_all_four() -> None:
    """Each quarter of a collage is one of the images at half its side."""
    shades = [np.full((32, 32), shade, np.uint8) for shade in (10, 80, 150, 220)]
    page = collage(shades)
    assert page.shape == (32, 32)
    assert [int(page[y, x]) for y in (8, 24) for x in (8, 24)] == [10, 80, 150, 220]


def test_errors_name_what_is_allowed() -> None:
    """An unknown kind, a severity out of range and a float image are refused in words."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"kind must be one of blur, .* got 'smudge'"):
        degrade(_image(), "smudge", 1, rng)
    with pytest.raises(ValueError, match="severity must be from 0 to 5, got 6"):
        degrade(_image(), "blur", 6, rng)
    with pytest.raises(ValueError, match=r"uint8 .* got float64"):
        degrade(_image().astype(float), "blur", 1, rng)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="four images of one shape"):
        collage([_image()] * 3)
