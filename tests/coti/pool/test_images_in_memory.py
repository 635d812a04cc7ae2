"""Images in memory are read by the rules of a pool's files."""

from __future__ import annotations

import pytest
from PIL import Image

from coti.core.decoding import decode
from coti.core.images import from_pil
from coti.pool.images_in_memory import ImagesInMemory


def _image(mode: str) -> Image.Image:
    """Seven by five pixels, each another."""
    image = Image.linear_gradient("L").resize((7, 5)).convert("RGB")
    return image.convert("L").convert(mode) if mode in ("I;16", "F", "I") else image.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_mode_arrives_as_it_looks(mode: str) -> None:
    """Through the one decoder, with the orientation that its EXIF says."""
    image = _image(mode)
    image.getexif()[0x0112] = 6
    (entry,) = ImagesInMemory([image]).entries()
    assert entry.read is not None
    found = decode(entry.read()).image
    assert found.size == (5, 7)
    assert (from_pil([found], 5) == from_pil([image], 5)).all()


def test_images_have_names_and_a_fingerprint() -> None:
    """The file's that they were opened from, or a number; another image, another fingerprint."""
    opened = _image("RGB")
    opened.filename = "/somewhere/a\nb.png"  # type: ignore[attr-defined]
    pool = ImagesInMemory([opened, _image("L")])
    assert [entry.name for entry in pool.entries()] == ["a\\nb.png", "pool-0001.png"]
    assert pool.fingerprint() != ImagesInMemory([_image("L"), opened]).fingerprint()
