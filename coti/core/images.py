"""Images between files, Pillow, tensors and PNG bytes.

A batch of images is a uint8 tensor ``[n, 3, h, w]``, 0 to 255, RGB.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from coti.core.errors import PoolError

__all__ = [
    "IMAGE_FORMATS",
    "check_images",
    "encode_png",
    "from_pil",
    "read_image",
    "read_image_folder",
    "to_pil",
]

IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats of Pillow that are read; every other decoder stays out of a stranger's reach."""

_SIDE_FILES = {".csv", ".json", ".jsonl", ".md", ".parquet", ".tsv", ".txt", ".yaml", ".yml"}
_SYSTEM_FILES = {"desktop.ini", "thumbs.db"}
_WHITE = (255, 255, 255, 255)


def check_images(images: Tensor) -> None:
    """Raise ValueError unless ``images`` is a uint8 batch ``[n, 3, h, w]``."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 [n, 3, h, w], got {images.dtype} {tuple(images.shape)}."
        )


def to_pil(images: Tensor) -> list[Image.Image]:
    """Pillow RGB images of a uint8 batch ``[n, 3, h, w]``.

    Raises:
        ValueError: ``images`` has another shape or type.
    """
    check_images(images)
    return [Image.fromarray(pixels) for pixels in images.permute(0, 2, 3, 1).cpu().numpy()]


def from_pil(images: Sequence[Image.Image], size: int | tuple[int, int]) -> Tensor:
    """A uint8 batch ``[n, 3, height, width]`` of Pillow images of any mode and shape.

    Each is turned upright by its EXIF tag, laid on white where it is transparent, scaled so that
    it just covers ``size`` (a side, or height and width, in pixels), and cut at the centre.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}: at least 1 pixel a side.")
    batch = torch.empty((len(images), 3, height, width), dtype=torch.uint8)
    for row, image in zip(batch, images, strict=True):
        upright = _to_rgb(ImageOps.exif_transpose(image))
        fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
        row.copy_(torch.from_numpy(np.array(fitted)).permute(2, 0, 1))
    return batch


def encode_png(image: Tensor | Image.Image) -> bytes:
    """An image, a uint8 tensor ``[3, h, w]`` or Pillow's, as PNG bytes without metadata."""
    pil_image = to_pil(image[None])[0] if isinstance(image, Tensor) else _to_rgb(image)
    clean = Image.new("RGB", pil_image.size)
    clean.paste(pil_image)
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_image(source: Path | bytes, *, max_pixels: int = 50_000_000) -> Image.Image:
    """Decode an image file, or its bytes, to upright RGB; of an animation the first frame.

    Raises:
        PoolError: it is none of :data:`IMAGE_FORMATS`, damaged, or of more than ``max_pixels``
            pixels; the message names the file.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            stream = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(stream, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise Image.DecompressionBombError(
                        f"{image.width}x{image.height} is more than {max_pixels} pixels"
                    )
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise nearly anything on a damaged file
        reason = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "in none of the formats " + ", ".join(IMAGE_FORMATS)
        raise PoolError(
            f"{name} cannot be read as an image ({reason}): replace it or take it out."
        ) from error


def read_image_folder(path: str | Path, resolution: int) -> tuple[list[str], Tensor]:
    """Names, sorted, and images ``[n, 3, resolution, resolution]`` uint8 of a folder.

    Made for seeds and references, which must all be good: hidden files, subfolders and side files
    (captions, tables) are passed over, any other file that is no image is an error. Images
    are fitted as in :func:`from_pil`.

    Raises:
        PoolError: there is no such folder, it holds no image, or a file in it is none.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise PoolError(f"{folder} is no folder: give the path of a folder of images.")
    files = sorted(
        (
            file
            for file in folder.iterdir()
            if file.is_file()
            and not file.name.startswith(".")
            and file.name.lower() not in _SYSTEM_FILES
            and file.suffix.lower() not in _SIDE_FILES
        ),
        key=lambda file: file.name,
    )
    if not files:
        raise PoolError(f"{folder} holds no image: put at least one PNG, JPEG or WebP into it.")
    batches = [from_pil([read_image(file)], resolution) for file in files]
    return [file.name for file in files], torch.cat(batches)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode: 16 bits scaled to 8 (Pillow would clip them), transparency on white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        top = 65535.0 if image.mode != "F" and values.max(initial=0) > 255 else 255.0
        image = Image.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer).convert("RGB")
    return image.convert("RGB")
