"""What part of an image is used: the one way from its own shape to the one that is asked for.

Pool, seeds, references and negatives are all brought to the model's square by the same rule, since
scorers and judges compare them. Imports nothing before it is used: settings and the sandbox of
:mod:`coti.pool.decode` start with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CUT_MUCH", "Fit", "fitted", "kept_box", "share_cut"]

CUT_MUCH = 0.25
"""Share of the long side from which on a cut is worth a look."""


@dataclass(frozen=True)
class Fit:
    """How an image gets a shape that isn't its own."""

    how: Literal["crop", "pad", "contain"] = "crop"
    """``crop`` covers the shape and cuts off what is over; ``pad`` puts the whole image onto the
    background; ``contain`` too, and draws the image's outermost pixels out to the border."""
    focus: tuple[float, float] = (0.5, 0.5)
    """Across and down, 0 to 1: the point that ``crop`` keeps as near to the middle as it can."""
    background: str = "white"
    """Of ``pad``: a colour as Pillow names them."""


def fitted(image: Image.Image, size: tuple[int, int], fit: Fit | None = None) -> Image.Image:
    """An RGB image in the shape of ``size`` (width, height); without ``fit`` cut at its centre.

    >>> from PIL import Image
    >>> fitted(Image.new("RGB", (60, 40)), (16, 16), Fit("pad")).getpixel((8, 0))
    (255, 255, 255)
    """
    import numpy as np
    from PIL import Image

    fit = fit or Fit()
    if fit.how == "crop":
        return _resized(image, size, kept_box(image.size, size, fit.focus))
    scale = min(size[0] / image.width, size[1] / image.height)
    inside = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    left, top = (size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2
    whole = _resized(image, inside, (0, 0, *image.size))
    if fit.how == "pad":
        canvas = Image.new("RGB", size, fit.background)
        canvas.paste(whole, (left, top))
        return canvas
    right, bottom = size[0] - inside[0] - left, size[1] - inside[1] - top
    sides = ((top, bottom), (left, right), (0, 0))
    return Image.fromarray(np.pad(np.asarray(whole), sides, mode="edge"))


def kept_box(
    size: tuple[int, int],  # width and height of the image
    shape: tuple[int, int],  # width and height of what it is cut for
    focus: tuple[float, float] = (0.5, 0.5),
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, in pixels of the image, of the largest part of this shape.

    Its middle is as near to ``focus``, shares of width and height, as the image's borders let it.

    >>> kept_box((60, 40), (16, 16)), kept_box((60, 40), (16, 16), (0.0, 0.0))
    ((10, 0, 50, 40), (0, 0, 40, 40))
    """
    scale = min(size[0] / shape[0], size[1] / shape[1])
    part = (max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1))
    left, top = (
        min(max(math.floor(point * whole - kept / 2), 0), max(whole - kept, 0))
        for point, whole, kept in zip(focus, size, part, strict=True)
    )
    return left, top, left + part[0], top + part[1]


def share_cut(width: int, height: int) -> float:
    """The share of an image's long side that a square of it leaves out, 0 to 1; 0 of no image.

    >>> share_cut(300, 200) == share_cut(200, 300) == 1 - 200 / 300
    True
    """
    longer = max(width, height)
    return 1 - min(width, height) / longer if longer else 0.0


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]
) -> Image.Image:
    from PIL import Image

    if (box[2] - box[0], box[3] - box[1]) == size:
        return image.crop(box)
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
