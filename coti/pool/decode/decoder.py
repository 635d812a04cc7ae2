"""A stranger's bytes to an image of ours, with everything measured on the way.

Runs inside the worker processes of :mod:`coti.pool.decode.sandbox`; imports neither torch nor
pandas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from coti.core.decoding import MOST_PIXELS, decode
from coti.core.file_rules import FileRefused
from coti.core.fitting import CUT_MUCH, Fit, fitted, share_cut
from coti.pool.reasons import Rejected

__all__ = ["Decoded", "Limits", "decode_image", "small_size"]

SIGNAL_SIDE = 128
"""Pixels of the longer side on which the quality signals are measured."""


@dataclass(frozen=True)
class Limits:
    """What an image may cost, and the size it is brought to."""

    resolution: int
    """Pixels of a side of the sanitised image; 0: as it is."""
    max_pixels: int = MOST_PIXELS
    first_frame: bool = False
    """Take the first frame of an animation instead of refusing it."""
    pixels: bool = True
    """Off: only check and measure, without a sanitised image (for benchmarks)."""
    measure: bool = True
    """Off: without perceptual hash and quality signals (for benchmarks)."""
    fit: Fit = field(default_factory=Fit)
    """How the image is brought to the ``resolution``."""


@dataclass
class Decoded:
    """What is known of an image once it has been decoded."""

    width: int
    """Pixels, after EXIF rotation."""
    height: int
    format: str
    mode: str
    """Pillow's mode as stored: ``RGB``, ``L``, ``CMYK``, ``I;16`` …"""
    detail: str = ""
    phash: str = ""
    """64-bit perceptual hash (DCT), 16 hexadecimal digits."""
    thumbnail: str = ""
    """16x16 grey levels, 512 hexadecimal digits, to check near duplicates with."""
    signals: dict[str, float] = field(default_factory=dict)
    whole: str = ""
    """Where the sanitised image lacks much of it, for a person: the image as a whole, RGB, of
    :func:`small_size`, hexadecimal digits."""
    pixels: bytes = b""
    """The sanitised image, RGB, row by row; where there is a ``resolution``, a square of it."""


def decode_image(data: bytes, limits: Limits) -> Decoded:
    """Check, decode, measure and sanitise one image.

    Raises :class:`Rejected` with one of the byte-level reasons; ``MemoryError`` is passed on.
    """
    try:
        found = decode(data, max_pixels=limits.max_pixels, first_frame=limits.first_frame)
    except FileRefused as refused:
        remedy = " of pool_rules.max_pixels" if refused.reason == "too_many_pixels" else ""
        raise Rejected(refused.reason, refused.detail + remedy) from refused
    rgb = found.image
    decoded = Decoded(rgb.width, rgb.height, found.format, found.mode, "; ".join(found.notes))
    if limits.measure:
        small = _small(rgb)
        _measure(small, decoded)
        cut = share_cut(*rgb.size) if limits.resolution and limits.fit.how == "crop" else 0.0
        if cut > CUT_MUCH:
            decoded.whole = small.tobytes().hex()
    if limits.pixels:
        side = limits.resolution
        decoded.pixels = (fitted(rgb, (side, side), limits.fit) if side else rgb).tobytes()
    return decoded


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of the copy on which an image of this size is measured.

    >>> small_size(600, 400), small_size(60, 40)
    ((128, 85), (60, 40))
    """
    longer = max(width, height, SIGNAL_SIDE)
    return max(1, round(width * SIGNAL_SIDE / longer)), max(1, round(height * SIGNAL_SIDE / longer))


def _small(rgb: Image.Image) -> Image.Image:
    if max(rgb.size) <= SIGNAL_SIDE:
        return rgb
    return rgb.resize(small_size(*rgb.size), Image.Resampling.BOX, reducing_gap=2.0)


def _measure(small: Image.Image, decoded: Decoded) -> None:
    """Perceptual hash and raw quality signals."""
    import imagehash

    from coti.pool.decode.quality import raw_signals

    grey = small.convert("L")
    decoded.phash = str(imagehash.phash(grey))
    decoded.thumbnail = grey.resize((16, 16), Image.Resampling.BOX).tobytes().hex()
    decoded.signals = raw_signals(small)
