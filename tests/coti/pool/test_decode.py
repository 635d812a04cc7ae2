from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coti.core.decoding import FORMATS
from coti.core.fitting import fitted
from coti.pool.decode.decoder import Limits, decode_image
from coti.pool.reasons import Rejected
from tests.coti.pool.conftest import bomb, encoded, image

LIMITS = Limits(32)


def rejected(data: bytes, limits: Limits = LIMITS) -> Rejected:
    """The rejection that ``data`` meets."""
    with pytest.raises(Rejected) as caught:
        decode_image(data, limits)
    return caught.value


def pixels(data: bytes, limits: Limits = LIMITS) -> np.ndarray:
    """The sanitised pixels of ``data``."""
    raw = decode_image(data, limits).pixels
    return np.frombuffer(raw, np.uint8).reshape(limits.resolution, limits.resolution, 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_listed_format_is_decoded(kind: str) -> None:
    """An image in each listed format comes out square, measured and named by its format."""
    decoded = decode_image(encoded(image(1), kind), LIMITS)
    assert decoded.format == kind
    assert (decoded.width, decoded.height) == (48, 40)
    assert len(decoded.pixels) == 3 * 32 * 32
    assert len(decoded.phash) == 16
    assert len(bytes.fromhex(decoded.thumbnail)) == 256


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "RGBA", "LA", "I;16"])
def test_modes_come_out_as_the_same_image(mode: str) -> None:
    """A grey gradient stored in any mode has the same brightness after decoding."""
    ramp = np.tile(np.linspace(0, 255, 32, dtype=np.uint8), (32, 1))
    grey = Image.fromarray(ramp)
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    else:
        image = grey.convert(mode) if mode in ("L", "1", "P") else grey.convert("RGB").convert(mode)
    out = pixels(encoded(image, "TIFF")).mean(axis=2)
    assert abs(out.mean() - ramp.mean()) < 3
    if mode != "1":
        assert np.abs(out - ramp).max() < 10


def test_exif_rotation_is_applied() -> None:
    """An image stored lying is stood up: sizes swap, and its red edge is at the right."""
    image = Image.new("RGB", (60, 40))
    image.paste((255, 0, 0), (0, 0, 60, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode_image(encoded(image, "JPEG", exif=exif, quality=95), Limits(40))
    assert (decoded.width, decoded.height) == (40, 60)
    out = np.frombuffer(decoded.pixels, np.uint8).reshape(40, 40, 3)
    assert out[20, 35, 0] > 200
    assert out[20, 5, 0] < 50


def test_transparency_is_laid_on_white() -> None:
    """A wholly transparent image is white, not black."""
    assert (pixels(encoded(Image.new("RGBA", (32, 32), (0, 0, 0, 0)))) == 255).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"<!DOCTYPE html><p>404", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"8BPS\x00\x01", "unsupported_format"),
        (b"%PDF-1.7", "not_an_image"),
        (b"just words", "not_an_image"),
        (encoded(image(2))[:-40], "truncated"),
        (encoded(image(2, (200, 200)), "JPEG")[:-800], "truncated"),
        (bomb(), "decompression_bomb"),
        (encoded(image(3, (300, 300))), "too_many_pixels"),
    ],
)
def test_bad_bytes_have_their_reason(data: bytes, reason: str) -> None:
    """Each kind of broken file gets its own reason code."""
    assert rejected(data, Limits(32, max_pixels=80_000)).reason == reason


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_are_refused_unless_the_first_frame_is_wanted(kind: str) -> None:
    """Several frames are a reason of their own; ``first_frame`` takes the first instead."""
    data = encoded(image(1), kind, save_all=True, append_images=[image(2), image(3)])
    assert rejected(data).reason == "animated"
    first = pixels(data, Limits(32, first_frame=True)).astype(int)
    alone = pixels(encoded(image(1), kind)).astype(int)
    assert np.abs(first - alone).mean() < 6


def test_the_content_decides_not_the_declared_pixels() -> None:
    """A flipped byte in a PNG's data is corrupt, since its checksum no longer fits."""
    data = bytearray(encoded(image(4)))
    data[len(data) // 2] ^= 0xFF
    assert rejected(bytes(data)).reason in ("corrupt", "truncated")


@given(
    width=st.integers(1, 200), height=st.integers(1, 200), resolution=st.sampled_from([8, 32, 64])
)
def test_sanitised_images_are_square_whatever_came_in(
    width: int, height: int, resolution: int
) -> None:
    """Any size ends as ``resolution`` by ``resolution``, and a plain colour stays that colour."""
    out = fitted(Image.new("RGB", (width, height), (10, 200, 60)), (resolution, resolution))
    assert out.size == (resolution, resolution)
    assert np.abs(np.asarray(out).astype(int) - (10, 200, 60)).max() <= 1


def test_decoding_is_deterministic() -> None:
    """The same bytes give the same pixels, hash and signals."""
    data = encoded(image(5, (300, 200)), "JPEG")
    assert decode_image(data, LIMITS) == decode_image(data, LIMITS)


def test_unreadable_exif_does_not_cost_the_image() -> None:
    """An image with nonsense for EXIF is still decoded."""
    stream = io.BytesIO()
    image(6).save(stream, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert decode_image(stream.getvalue(), LIMITS).width == 48


def test_the_bundled_pools_pixels_are_the_published_ones() -> None:
    """A change of the decoder that changes them changes every published number."""
    found = hashlib.sha256()
    for path in sorted(Path("assets/pools/ankle_boot/pool").iterdir()):
        try:
            content = decode_image(path.read_bytes(), Limits(32, measure=False)).pixels
        except Rejected as rejected:
            content = rejected.reason.encode()
        found.update(path.name.encode() + content)
    assert found.hexdigest()[:16] == "61782e9c869e35a3"
