"""A stranger's bytes to an image of ours, with everything measured on the way.

Runs inside the worker processes of :mod:`coti.pool.decode.sandbox`; imports neither torch nor
pandas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from coti.core.decoding import MOST_PIXELS, decode, fitted
from coti.core.file_rules import FileRefused
from coti.pool.reasons import Rejected

__all__ = ["Decoded", "Limits", "decode_image"]

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
        _measure(rgb, decoded)
    if limits.pixels:
        side = limits.resolution
        decoded.pixels = (fitted(rgb, (side, side)) if side else rgb).tobytes()
    return decoded


def _measure(rgb: Image.Image, decoded: Decoded) -> None:
    """Perceptual hash and raw quality signals, on a copy of at most 128 pixels a side."""
    import imagehash

    from coti.pool.decode.quality import raw_signals

    longer = max(rgb.size)
    small = rgb
    if longer > SIGNAL_SIDE:
        size = tuple(max(1, round(side * SIGNAL_SIDE / longer)) for side in rgb.size)
        small = rgb.resize((size[0], size[1]), Image.Resampling.BOX, reducing_gap=2.0)
    grey = small.convert("L")
    decoded.phash = str(imagehash.phash(grey))
    decoded.thumbnail = grey.resize((16, 16), Image.Resampling.BOX).tobytes().hex()
    decoded.signals = raw_signals(small)
