"""Images between files, Pillow, tensors and PNG bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coti.core.errors import PoolError
from coti.core.images import encode_png, from_pil, read_image, read_image_folder, to_pil


def random_images(n: int, height: int = 8, width: int = 8, seed: int = 0) -> torch.Tensor:
    """Noise, uint8 [n, 3, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), generator=generator, dtype=torch.uint8)


def test_pil_and_back_is_the_same_batch() -> None:
    """A batch that goes to Pillow and back at its own size is unchanged."""
    images = random_images(3, 6, 9)
    assert torch.equal(from_pil(to_pil(images), (6, 9)), images)


def test_png_is_lossless_and_without_metadata() -> None:
    """PNG bytes decode to the same pixels, and no comment or profile travels along."""
    image = random_images(1)[0]
    decoded = Image.open(io.BytesIO(encode_png(image)))
    assert torch.equal(from_pil([decoded], 8)[0], image)
    noted = Image.new("RGB", (4, 4))
    noted.info["comment"] = "secret"
    assert Image.open(io.BytesIO(encode_png(noted))).info == {}


def test_wrong_batches_are_refused() -> None:
    """Another type or shape is named in the error."""
    with pytest.raises(ValueError, match=r"got torch\.float32 \(1, 3, 4, 4\)"):
        to_pil(torch.zeros(1, 3, 4, 4))


def test_folder_is_read_sorted(tmp_path: Path) -> None:
    """Names come sorted, side files and hidden files are passed over, images are fitted."""
    for name, colour in [("b.png", 20), ("a.jpg", 200), ("Ünï.webp", 90)]:
        Image.new("RGB", (40, 20), (colour,) * 3).save(tmp_path / name)
    (tmp_path / "captions.txt").write_text("no image")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "folder").mkdir()
    names, images = read_image_folder(tmp_path, 16)
    assert names == ["a.jpg", "b.png", "Ünï.webp"]
    assert images.shape == (3, 3, 16, 16)
    assert images.dtype == torch.uint8
    assert abs(int(images[0].float().mean()) - 200) <= 2


def test_folder_errors_name_the_input(tmp_path: Path) -> None:
    """A missing folder, an empty one, and a file that is no image: one sentence each."""
    with pytest.raises(PoolError, match=r"nowhere is no folder"):
        read_image_folder(tmp_path / "nowhere", 16)
    with pytest.raises(PoolError, match="holds no image"):
        read_image_folder(tmp_path, 16)
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(PoolError, match=r"page\.jpg cannot be read as an image"):
        read_image_folder(tmp_path, 16)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
def test_truncated_images_are_pool_errors(tmp_path: Path, suffix: str) -> None:
    """An image cut in half is refused by name."""
    file = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(PoolError, match=r"cut\."):
        read_image(file)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    """An image above the limit is refused from its header."""
    with pytest.raises(PoolError, match="64x64 is more than 1000 pixels"):
        read_image(encode_png(random_images(1, 64, 64)[0]), max_pixels=1000)


def test_every_mode_becomes_rgb() -> None:
    """CMYK, palette, 16 bits, grey with alpha: RGB, 16 bits scaled, transparency on white."""
    deep = Image.fromarray(np.full((4, 4), 32896, dtype=np.uint16))
    assert deep.mode.startswith("I")
    assert from_pil([deep], 4).unique().tolist() == [128]
    assert from_pil([Image.new("LA", (4, 4), (0, 0))], 4).unique().tolist() == [255]
    assert from_pil([Image.new("CMYK", (4, 4))], 4).unique().tolist() == [255]
    assert from_pil([Image.new("P", (4, 4))], 4).shape == (1, 3, 4, 4)
    assert from_pil([Image.new("1", (4, 4), 1)], 4).unique().tolist() == [255]


def test_exif_rotation_is_applied() -> None:
    """An image stored sideways is read upright."""
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    assert read_image(buffer.getvalue()).size == (4, 8)
