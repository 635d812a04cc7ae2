"""Images between files, Pillow, tensors and PNG bytes.

A batch of images is a uint8 tensor ``[n, 3, h, w]``, 0 to 255, RGB.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from coti.core.decoding import MOST_PIXELS, decode, to_rgb
from coti.core.errors import PoolError
from coti.core.file_rules import FileRefused, kind_of_file, list_files, read_inside
from coti.core.fitting import Fit, fitted

__all__ = [
    "check_images",
    "encode_png",
    "from_pil",
    "image_names",
    "read_image",
    "read_image_folder",
    "read_named_file",
    "to_pil",
    "unusable_image",
]

_REMEDIES = {
    "animated": "save the frame that is meant as an image of its own",
    "too_many_pixels": "make it smaller",
    "file_too_large": "make it smaller",
    "unsupported_format": "save it as PNG or JPEG",
    "missing_file": "check the path",
}


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


def from_pil(
    images: Sequence[Image.Image], size: int | tuple[int, int], fit: Fit | None = None
) -> Tensor:
    """A uint8 batch ``[n, 3, height, width]`` of Pillow images of any mode and shape.

    Each is turned upright by its EXIF tag, laid on white where it is transparent, and brought to
    ``size`` (a side, or height and width, in pixels) by ``fit``: without one it is scaled so that
    it just covers it, and cut at the centre.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}: at least 1 pixel a side.")
    batch = torch.empty((len(images), 3, height, width), dtype=torch.uint8)
    for row, image in zip(batch, images, strict=True):
        whole = fitted(to_rgb(ImageOps.exif_transpose(image)), (width, height), fit)
        row.copy_(torch.from_numpy(np.array(whole)).permute(2, 0, 1))
    return batch


def encode_png(image: Tensor | Image.Image) -> bytes:
    """An image, a uint8 tensor ``[3, h, w]`` or Pillow's, as PNG bytes without metadata."""
    pil_image = to_pil(image[None])[0] if isinstance(image, Tensor) else to_rgb(image)
    clean = Image.new("RGB", pil_image.size)
    clean.paste(pil_image)
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_image(source: Path | bytes, *, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decode an image file, or its bytes, to upright sRGB by the rules of a pool's images.

    Raises:
        PoolError: it cannot be used (:func:`coti.core.decoding.decode`); the message names the
            file.
    """
    if isinstance(source, bytes):
        return _decoded("the image", lambda: source, max_pixels)
    return _decoded(str(source), partial(read_named_file, source), max_pixels)


def read_image_folder(
    path: str | Path, resolution: int, fit: Fit | None = None
) -> tuple[list[str], Tensor]:
    """Names, sorted, and images ``[n, 3, resolution, resolution]`` uint8 of a folder.

    For one's own images and code: they are decoded in this process, by the rules of
    :func:`coti.pool.chosen_images.read_chosen_images`, which the commands and pipelines call.
    :func:`image_names` says which files are meant, and one that cannot be used is an error.

    Raises:
        PoolError: there is no such folder, it holds no image, or a file in it is none.
    """
    names = image_names(path)
    batches = [
        from_pil(
            [_decoded(str(Path(path, name)), partial(read_inside, path, name))], resolution, fit
        )
        for name in names
    ]
    return names, torch.cat(batches)


def image_names(path: str | Path) -> list[str]:
    """The images of a folder of chosen ones (seeds, references) and below it, by folder and name.

    Side files (captions, tables, notes) and what systems leave behind are passed over; anything
    else is meant as an image.

    Raises:
        PoolError: there is no such folder, or it holds no image.
    """
    if not Path(path).is_dir():
        raise PoolError(f"{path} is no folder: give the path of a folder of images.")
    names = [name for name in list_files(path) if kind_of_file(name) in ("image", "other")]
    if not names:
        raise PoolError(f"{path} holds no image: put at least one PNG, JPEG or WebP into it.")
    return names


def unusable_image(name: str, reason: str, detail: str) -> PoolError:
    """The sentence for a chosen file that cannot be used."""
    remedy = _REMEDIES.get(reason, "replace it or take it out")
    return PoolError(f"{name} cannot be read as an image ({reason}: {detail}): {remedy}.")


def _decoded(name: str, read: Callable[[], bytes], max_pixels: int = MOST_PIXELS) -> Image.Image:
    try:
        return decode(read(), max_pixels=max_pixels).image
    except FileRefused as refused:
        raise unusable_image(name, refused.reason, refused.detail) from refused
    except MemoryError as error:
        raise unusable_image(name, "decode_memory", "out of memory") from error


def read_named_file(path: Path) -> bytes:
    """The bytes of a file that the user named: a link to it is followed.

    Raises:
        FileRefused: it cannot be read.
    """
    try:
        whole = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise FileRefused("missing_file", "there is no such file") from error
    return read_inside(whole.parent, whole.name)
