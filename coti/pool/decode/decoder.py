"""A stranger's bytes to an image of ours, with everything checked on the way.

Runs inside the worker processes of :mod:`coti.pool.decode.sandbox`; imports neither torch nor
pandas.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from coti.pool.reasons import Rejected

__all__ = ["FORMATS", "Decoded", "Limits", "decode_image", "open_checked", "sanitized"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is opened at all; every further format is one more parser for a stranger to attack."""

SIGNAL_SIDE = 128
"""Pixels of the longer side on which the quality signals are measured."""

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"8BPS", "unsupported_format", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "unsupported_format", "a Windows icon"),
    (b"\xff\x0a", "unsupported_format", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "unsupported_format", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "unsupported_format", "JPEG 2000"),
    (b"%!PS", "unsupported_format", "PostScript"),
    (b"%PDF", "not_an_image", "a PDF document"),
    (b"PK\x03\x04", "not_an_image", "a zip archive"),
    (b"\x1f\x8b", "not_an_image", "a gzip file"),
    (b"OggS", "not_an_image", "an Ogg sound"),
    (b"ID3", "not_an_image", "an MP3 sound"),
    (b"\x7fELF", "not_an_image", "a program"),
    (b"MZ", "not_an_image", "a program"),
)


@dataclass(frozen=True)
class Limits:
    """What an image may cost, and the size it is brought to."""

    resolution: int
    """Pixels of a side of the sanitised image."""
    max_pixels: int = 50_000_000
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
    """The sanitised image: square, RGB, ``resolution`` pixels a side, row by row."""


def decode_image(data: bytes, limits: Limits) -> Decoded:
    """Check, decode, measure and sanitise one image.

    Raises :class:`Rejected` with one of the byte-level reasons; ``MemoryError`` is passed on.
    """
    image, kind, mode = open_checked(data, limits)
    notes: list[str] = []
    try:
        image = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception as error:
        notes.append(f"EXIF ignored: {type(error).__name__}")
    rgb = _to_rgb(image)
    decoded = Decoded(rgb.width, rgb.height, kind, mode, "; ".join(notes))
    if limits.measure:
        _measure(rgb, decoded)
    if limits.pixels:
        decoded.pixels = sanitized(rgb, limits.resolution).tobytes()
    return decoded


def open_checked(data: bytes, limits: Limits) -> tuple[Image.Image, str, str]:
    """The loaded image, its format and its stored mode, or :class:`Rejected`.

    ``verify()`` checks what the format lets it check without decoding and spoils the object, so
    the image is opened afresh for ``load()``, which decodes every pixel.
    """
    if not data:
        raise Rejected("empty_file", "0 bytes")
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            first = Image.open(io.BytesIO(data), formats=FORMATS)
            kind, mode, (width, height) = first.format or "", first.mode, first.size
            if width * height > limits.max_pixels:
                raise Rejected("decompression_bomb", f"declares {width}x{height} pixels")
            if kind != "MPO" and getattr(first, "is_animated", False) and not limits.first_frame:
                raise Rejected("animated", f"{kind}, {getattr(first, 'n_frames', 2)} frames")
            first.verify()
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.load()
        except Rejected:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise Rejected("decompression_bomb", _short(error)) from error
        except UnidentifiedImageError as error:
            raise _unidentified(data) from error
        except MemoryError:
            raise
        except Exception as error:
            raise _broken(error) from error
    return image, kind, mode


def sanitized(image: Image.Image, resolution: int) -> Image.Image:
    """The RGB image cut to its centre square and resized to ``resolution`` pixels a side."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if side == resolution:
        return image.crop((left, top, left + side, top + side))
    return image.resize(
        (resolution, resolution),
        Image.Resampling.BICUBIC,
        box=(left, top, left + side, top + side),
        reducing_gap=3.0,
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: 16 bits scaled, not cut; transparency laid on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = Image.fromarray(_grey_levels(image))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_levels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    levels = np.asarray(image).astype(np.float64)
    if not np.isfinite(levels).all():
        raise Rejected("corrupt", "pixels that are not numbers")
    if image.mode == "F":
        low, high = float(levels.min()), float(levels.max())
        if low < 0.0 or high > 255.0:
            levels = (levels - low) / max(high - low, 1e-12) * 255.0
        elif high <= 1.0:
            levels = levels * 255.0
    elif levels.max() > 255 or image.mode != "I":
        levels = np.clip(levels, 0, 65535) / 257.0
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


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


def _unidentified(data: bytes) -> Rejected:
    """Say what the bytes are instead, as far as their beginning tells."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, reason, what in _SIGNATURES:
        if data.startswith(signature):
            return Rejected(reason, what)
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return Rejected("unsupported_format", "HEIC")
    if b"<svg" in head or (head.startswith(b"<?xml") and b"svg" in data[:4096].lower()):
        return Rejected("unsupported_format", "SVG, a drawing")
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return Rejected("not_an_image", "an HTML page")
    if data.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")):
        return Rejected("corrupt", "an image's beginning, but no usable header")
    if data and all(byte >= 9 for byte in data[:512]):
        return Rejected("not_an_image", "text")
    return Rejected("not_an_image", "no known format")


def _broken(error: Exception) -> Rejected:
    text = str(error).lower()
    if "decompressed data too large" in text or "too many" in text:
        return Rejected("decompression_bomb", _short(error))
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
        return Rejected("truncated", _short(error))
    return Rejected("corrupt", _short(error))


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
