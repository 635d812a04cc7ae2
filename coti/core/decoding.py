"""The one decoder: anybody's bytes to an upright sRGB image, or one reason why not.

Pool, seeds, references and edits go through here; a pool's and the seeds' in the sandbox of
:mod:`coti.pool.decode`. Imports neither torch nor pandas, so that the sandbox starts fast.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from coti.core.colour import LAB, ProfileError, grey_table, to_srgb
from coti.core.file_rules import FileRefused, stand_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FORMATS", "MOST_PIXELS", "DecodedImage", "decode", "to_rgb"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is opened at all; every further format is one more parser for a stranger to attack."""

MOST_PIXELS = 120_000_000
"""More than any common camera's; a larger image is not decoded unless a setting says so."""

_BOMB = 10_000
"""Pixels a byte above which no file describes what it declares: deflate packs at most 1,032 bytes
into one, eight pixels of one bit each."""

_BITS, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281
"""TIFF's tags."""
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"8BPS", "unsupported_format", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "unsupported_format", "a Windows icon"),
    (b"\xff\x0a", "unsupported_format", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "unsupported_format", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "unsupported_format", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "unsupported_format", "JPEG 2000"),
    (b"%!PS", "unsupported_format", "PostScript"),
    (b"%PDF", "not_an_image", "a PDF document"),
    (b"PK\x03\x04", "not_an_image", "a zip archive"),
    (b"\x1f\x8b", "not_an_image", "a gzip file"),
    (b"OggS", "not_an_image", "an Ogg sound"),
    (b"ID3", "not_an_image", "an MP3 sound"),
    (b"\x7fELF", "not_an_image", "a program"),
    (b"MZ", "not_an_image", "a program"),
)
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


@dataclass
class DecodedImage:
    """An image as we use it, and what it was."""

    image: Image.Image
    """Upright, mode ``RGB``, sRGB, transparency laid on white."""
    format: str
    mode: str
    """Pillow's mode as stored: ``RGB``, ``L``, ``CMYK``, ``I;16`` …"""
    notes: list[str] = field(default_factory=list)
    """What was passed over: a damaged profile, metadata too large to be any."""


def decode(
    data: bytes, *, max_pixels: int = MOST_PIXELS, first_frame: bool = False
) -> DecodedImage:
    """Check and decode one image file's bytes.

    Args:
        data: the whole file.
        max_pixels: more than this is refused from the header.
        first_frame: take the first frame of an animation instead of refusing it.

    Raises:
        FileRefused: with one of the byte-level reasons of :mod:`coti.pool.reasons`.
        MemoryError: there is not enough.
    """
    with warnings.catch_warnings():
        # Of damaged EXIF, and of more pixels, which are counted here: whoever makes errors of
        # warnings gets the same image.
        warnings.simplefilter("ignore")
        return _decode(data, max_pixels, first_frame)


def to_rgb(image: Image.Image, notes: list[str] | None = None) -> Image.Image:
    """Any loaded image as RGB: colours of its profile as sRGB, 16 bits scaled, not cut;
    transparency laid on white.

    What is passed over is added to ``notes``.
    """
    profile = LAB if image.mode == "LAB" else image.info.get("icc_profile")
    if not isinstance(profile, bytes):
        profile = b""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image, profile = _levels(image, profile)
    clear = image.mode in _ALPHA or "transparency" in image.info
    layer = image.convert("RGBA") if clear else None
    if profile:
        try:
            image = to_srgb(_colours(image, layer), profile)
        except ProfileError as error:
            if notes is not None:
                notes.append(f"colour profile ignored: {error}"[:120])
        else:
            if layer is not None:
                alpha, layer = layer.getchannel("A"), image.convert("RGB")
                layer.putalpha(alpha)
    if layer is not None:
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    if image.mode != "RGB":
        image = image.convert("RGB")
        image.info.pop("icc_profile", None)  # it was of other colours
    return image


def _decode(data: bytes, max_pixels: int, first_frame: bool) -> DecodedImage:
    notes: list[str] = []
    try:
        image, kind, mode = _loaded(data, max_pixels, first_frame)
    except FileRefused as refused:
        if "MAX_TEXT" not in refused.detail:
            raise
        image, kind, mode = _without_metadata(data, max_pixels, first_frame)
        notes.append("metadata of more than 1 MB ignored")
    try:
        _mend(image, kind, data)
        try:
            image = ImageOps.exif_transpose(image)
        except MemoryError:
            raise
        except Exception as error:
            notes.append(f"EXIF ignored: {type(error).__name__}")
            image = image.copy()
        whole = to_rgb(image, notes)
        whole.info.clear()  # nobody applies a profile or a rotation again
        return DecodedImage(whole, kind, mode, notes)
    except (FileRefused, MemoryError):
        raise
    except Exception as error:  # a parser's bug is the image's fault
        raise _broken(error) from error


def _loaded(data: bytes, max_pixels: int, first_frame: bool) -> tuple[Image.Image, str, str]:
    """The loaded image, its format and its stored mode, or :class:`FileRefused`.

    ``verify()`` checks what the format lets it check without decoding and spoils the object, so
    the image is opened afresh for ``load()``, which decodes every pixel.
    """
    if not data:
        raise FileRefused("empty_file", "0 bytes")
    try:
        first = Image.open(io.BytesIO(data), formats=FORMATS)
        kind, mode, (width, height) = first.format or "", first.mode, first.size
        if width * height > max_pixels:
            raise _too_many(f"{width}x{height}", width * height, len(data), max_pixels)
        if kind != "MPO" and getattr(first, "is_animated", False) and not first_frame:
            raise FileRefused("animated", f"{kind}, {getattr(first, 'n_frames', 2)} frames")
        first.verify()
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
    except (FileRefused, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Image.DecompressionBombError as error:
        pixels = int(re.findall(r"\d+", str(error))[0])
        raise _too_many(f"{pixels} pixels", pixels, len(data), max_pixels) from error
    except Exception as error:
        raise _broken(error) from error
    return image, kind, mode


def _without_metadata(
    data: bytes, max_pixels: int, first_frame: bool
) -> tuple[Image.Image, str, str]:
    """A PNG whose texts, or else its profile, unpack to more than Pillow takes: without them.

    ComfyUI and Photoshop write texts of many megabytes.
    """
    for left_out in ((b"tEXt", b"zTXt", b"iTXt"), (b"tEXt", b"zTXt", b"iTXt", b"iCCP")):
        kept, place = [data[:8]], 8
        while place + 8 <= len(data):
            length, kind = struct.unpack_from(">I4s", data, place)
            if kind not in left_out:
                kept.append(data[place : place + 12 + length])
            place += 12 + length
        try:
            return _loaded(b"".join(kept), max_pixels, first_frame)
        except FileRefused as refused:
            last = refused
    raise last


def _mend(image: Image.Image, kind: str, data: bytes) -> None:
    """What Pillow leaves as it stands in the file.

    A PNG's transparent value is of the file's bit depth, the pixels are of 8 bits. A BMP whose
    alpha is 0 everywhere has none: its writer left the byte alone. A TIFF's tags say which value
    of more than 8 bits is white, and are lost when the image is turned.
    """
    value = image.info.get("transparency")
    if kind == "PNG" and value is not None and data[12:16] == b"IHDR":
        depth = data[24]
        if isinstance(value, tuple) and depth == 16:
            image.info["transparency"] = tuple(part >> 8 for part in value)
        elif image.mode == "L" and isinstance(value, int) and depth < 8:
            image.info["transparency"] = value * 255 // (2**depth - 1)
    if kind == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        image.putalpha(255)
    if kind == "TIFF":
        image.info["tags"] = dict(getattr(image, "tag_v2", {}))


def _colours(image: Image.Image, layer: Image.Image | None) -> Image.Image:
    """The image without transparency in a mode that a profile can be of."""
    if image.mode in ("L", "1", "LA", "La"):
        return (layer or image).convert("L")
    if layer is not None:
        return layer.convert("RGB")
    return image if image.mode in ("RGB", "CMYK", "LAB") else image.convert("RGB")


def _levels(image: Image.Image, profile: bytes) -> tuple[Image.Image, bytes]:
    """An image of more than 8 bits in 8, and the profile, if it is still to be applied.

    16 bits are scaled by what the file says is the most (12-bit TIFFs, ``MaxSampleValue``). Larger
    integers and floating point have no most: 0 to 1 and 0 to 255 are taken for what they look
    like, else the least is black and the most white.
    """
    values = np.asarray(image)
    tags = image.info.get("tags", {})
    inverted = tags.get(_PHOTOMETRIC) == 0
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        levels = np.clip(np.arange(65536) * (255 / _most(values, tags)), 0, 255)
        if inverted:
            levels = 255 - levels
        table = np.rint(levels).astype(np.uint8)
        if profile:
            with contextlib.suppress(ProfileError):  # said where it is tried again
                bands = [np.interp(levels, range(256), band) for band in grey_table(profile)]
                table, profile = np.rint(np.stack(bands, -1)).astype(np.uint8), b""
        result = Image.fromarray(table[values])
    else:
        levels = _guessed(values.astype(np.float64), image.mode)
        if inverted:
            levels = 255 - levels
        result = Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    if (value := image.info.get("transparency")) is not None:
        result.putalpha(Image.fromarray(np.where(values == value, 0, 255).astype(np.uint8)))
    return result, profile


def _most(values: NDArray[Any], tags: Mapping[int, Any]) -> int:
    """The value of 16-bit pixels that is white."""
    said = [*np.ravel(tags.get(_MAX_SAMPLE_VALUE, 0)), 2 ** tags.get(_BITS, (16,))[0] - 1]
    largest = max(int(values.max(initial=0)), 256)
    return next((int(most) for most in said if largest <= most <= 65535), 65535)


def _guessed(levels: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    if not np.isfinite(levels).all():
        raise FileRefused("corrupt", "pixels that are not numbers")
    low, high = float(levels.min()), float(levels.max())
    if mode == "F" and low >= 0 and high <= 1:
        return levels * 255
    if mode != "F" and 255 < high <= 65535:
        return np.clip(levels, 0, None) / 257
    if high > 255 or (mode == "F" and low < 0):
        return (levels - low) / max(high - low, 1e-12) * 255
    return levels


def _too_many(size: str, pixels: int, length: int, max_pixels: int) -> FileRefused:
    reason = "decompression_bomb" if pixels > _BOMB * length else "too_many_pixels"
    return FileRefused(reason, f"{size} is more than {max_pixels} pixels")


def _unidentified(data: bytes) -> FileRefused:
    """Say what the bytes are instead, as far as their beginning tells."""
    if said := stand_in(data):
        return FileRefused("not_an_image", said)
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, reason, what in _SIGNATURES:
        if data.startswith(signature):
            return FileRefused(reason, what)
    brands = data[8:64] if data[4:8] == b"ftyp" else b""
    if b"avif" in brands or b"avis" in brands or data.startswith(_BEGINNINGS):
        return FileRefused("corrupt", "an image's beginning, but no usable header")
    if data.startswith(b"RIFF"):
        if data[8:12] == b"WEBP" or len(data) < 12:
            return FileRefused("corrupt", "an image's beginning, but no usable header")
        return FileRefused("not_an_image", "a sound or a film")
    if brands[:4] in _HEIC:
        return FileRefused("unsupported_format", "HEIC")
    if brands:
        return FileRefused("not_an_image", "a film")
    if b"<svg" in head or (head.startswith(b"<?xml") and b"svg" in data[:4096].lower()):
        return FileRefused("unsupported_format", "SVG, a drawing")
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return FileRefused("not_an_image", "an HTML page")
    if data and all(byte >= 9 for byte in data[:512]):
        return FileRefused("not_an_image", "text")
    return FileRefused("not_an_image", "no known format")


def _broken(error: Exception) -> FileRefused:
    said = f"{type(error).__name__}: {error}"[:200]
    text = said.lower()
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
        return FileRefused("truncated", said)
    return FileRefused("corrupt", said)
