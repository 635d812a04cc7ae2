"""The broken and the odd files of a web pool: what a crawl really brings home.

Half of them cannot be read or must not be; the other half are valid images in an unusual
coat (CMYK, 16 bits, a rotation in EXIF), which ingestion may accept after normalising them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from assets.build.degrade import PILImage


@dataclass(frozen=True)
class Defect:
    """One kind of odd file."""

    name: str
    suffix: str
    """Suffix of the file's name."""
    shows_image: bool
    """Whether what the file holds can be read and shows the image it was made from."""
    make: Callable[[PILImage], bytes]
    """From an image of the concept, uint8 [h, w], to the file's bytes."""
    stem: str | None = None
    """Name of the file, where the name is what is odd about it."""
    in_metadata: bool = True
    """Whether the metadata has a row for the file."""


def encode(image: PILImage, kind: str, **options: object) -> bytes:
    """The bytes of an image as PNG, JPEG, WEBP and so on, always as RGB."""
    file = io.BytesIO()
    Image.fromarray(image).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def _png(image: PILImage) -> bytes:
    return encode(image, "PNG")


def _jpeg(image: PILImage) -> bytes:
    return encode(image, "JPEG", quality=92)


def _truncated_jpeg(image: PILImage) -> bytes:
    data = _jpeg(image)
    return data[: data.index(b"\xff\xda") + 60]  # a few bytes after the scan has begun


def _truncated_png(image: PILImage) -> bytes:
    data = _png(image)
    return data[: len(data) // 2]


def _flipped_png(image: PILImage) -> bytes:
    data = bytearray(_png(image))
    middle = data.index(b"IDAT") + 40
    data[middle : middle + 16] = bytes(byte ^ 0xFF for byte in data[middle : middle + 16])
    return bytes(data)


def _html(image: PILImage) -> bytes:
    return (
        b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head>"
        b"<body><h1>Hotlinking is not allowed</h1></body></html>\n"
    )


def _random_bytes(image: PILImage) -> bytes:
    return np.random.default_rng(int(image.sum())).bytes(700)


def _one_by_one(image: PILImage) -> bytes:
    return _png(image[:1, :1])


def _bomb(image: PILImage) -> bytes:
    """A PNG of a few hundred bytes that declares 30,000 by 30,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _cmyk(image: PILImage) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert("CMYK").save(file, "JPEG", quality=95)
    return file.getvalue()


def _sixteen_bits(image: PILImage) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint16) * 257).save(file, "PNG")
    return file.getvalue()


def _animated(kind: str) -> Callable[[PILImage], bytes]:
    def make(image: PILImage) -> bytes:
        frames = [Image.fromarray(np.roll(image, 3 * move, 1)).convert("RGB") for move in (0, 1)]
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=200, loop=0)
        return file.getvalue()

    return make


def _exif_rotated(image: PILImage) -> bytes:
    """Stored on its side, with the EXIF entry that says to turn it a quarter clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(image))).convert("RGB")
    turned.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


DEFECTS = (
    Defect("truncated_jpeg", ".jpg", False, _truncated_jpeg),
    Defect("truncated_png", ".png", False, _truncated_png),
    Defect("flipped_bytes", ".png", False, _flipped_png),
    Defect("empty", ".jpg", False, lambda image: b""),
    Defect("html", ".jpg", False, _html),
    Defect("random_bytes", ".webp", False, _random_bytes),
    Defect("one_by_one", ".png", False, _one_by_one),
    Defect("decompression_bomb", ".png", False, _bomb),
    Defect("png_named_jpg", ".jpg", True, _png),
    Defect("cmyk", ".jpg", True, _cmyk),
    Defect("sixteen_bits", ".png", True, _sixteen_bits),
    Defect("animated_gif", ".gif", True, _animated("GIF")),
    Defect("animated_webp", ".webp", True, _animated("WEBP")),
    Defect("exif_rotated", ".jpg", True, _exif_rotated),
    Defect("unicode_name", ".png", True, _png, stem="stövel_靴_👢"),
    Defect("odd_name", ".png", True, _png, stem="product image (1) #50% & more"),
    Defect("no_metadata_row", ".png", True, _png, in_metadata=False),
)
"""One file each."""

METADATA_DEFECTS = {
    "path_leaves_folder": "../../etc/passwd",
    "absolute_path": "/etc/hostname",
    "missing_file": "0d15ea5e0ff1.jpg",
}
"""Rows of the metadata that name no file of the pool."""
