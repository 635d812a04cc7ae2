"""What is cut off the images of a pool: how much, in numbers, in a sentence, on the images."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from coti.core.fitting import CUT_MUCH, Fit, kept_box, share_cut

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cut_sentence", "shaded", "shares_cut"]

_SHADE = 0.4
"""Brightness of what is cut off."""


def shares_cut(sizes: pd.DataFrame, fit: Fit) -> list[float]:
    """The share of the long side that each image loses, 0 to 1, by its ``width`` and ``height``."""
    if fit.how != "crop":
        return [0.0] * len(sizes)
    pairs = zip(sizes["width"].tolist(), sizes["height"].tolist(), strict=True)
    return [share_cut(int(width), int(height)) for width, height in pairs]


def cut_sentence(shares: Iterable[float], whose: str) -> str:
    """What cropping costs images, for a person; empty where it takes much of none.

    >>> cut_sentence([0.3, 0.0], "the seeds")
    '1 of the seeds, 50 %, loses over a quarter of its long side: images.fit: pad keeps it whole, \
images.focus says what stays.'
    """
    lost = list(shares)
    much = sum(share > CUT_MUCH for share in lost)
    if not much:
        return ""
    lose, their, them = ("loses", "its", "it") if much == 1 else ("lose", "their", "them")
    return (
        f"{much:,} of {whose}, {max(1, round(100 * much / len(lost)))} %, {lose} over a quarter of "
        f"{their} long side: images.fit: pad keeps {them} whole, images.focus says what stays."
    )


def shaded(whole: bytes, fit: Fit) -> bytes:
    """The PNG of a whole image as a JPEG in which all but the square that is kept is dark."""
    from PIL import Image, ImageDraw

    image = Image.open(io.BytesIO(whole), formats=("PNG",)).convert("RGB")
    left, top, right, bottom = kept_box(image.size, (1, 1), fit.focus)
    shown = Image.blend(Image.new("RGB", image.size), image, _SHADE)
    shown.paste(image.crop((left, top, right, bottom)), (left, top))
    frame = (left, top, right - 1, bottom - 1)
    ImageDraw.Draw(shown).rectangle(frame, outline=(255, 255, 255))
    stream = io.BytesIO()
    shown.save(stream, "JPEG", quality=85)
    return stream.getvalue()
