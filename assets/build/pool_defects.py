"""The broken and the odd files of a web pool: what a crawl really brings home.

Half of them cannot be read or must not be; the other half are valid pictures in an unusual
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

from assets.build.degrade import Picture


@dataclass(frozen=True)
class Defect:
    """One kind of odd file."""

    name: str
    suffix: str
    """Suffix of the file's name."""
    shows_picture: bool
    """Whether what the file holds can be read and shows the picture it was made from."""
    make: Callable[[Picture], bytes]
    """From a picture of the concept, uint8 [h, w], to the file's bytes."""
    stem: str | None = None
    """Name of the file, where the name is what is odd about it."""
    in_metadata: bool = True
    """Whether the metadata has a row for the file."""


def encode(picture: Picture, kind: str, **options: object) -> bytes:
    """The bytes of a picture as PNG, JPEG, WEBP and so on, always as RGB."""
    file = io.BytesIO()
    Image.fromarray(picture).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def _png(picture: Picture) -> bytes:
    return encode(picture, "PNG")


def _jpeg(picture: Picture) -> bytes:
    return encode(picture, "JPEG", quality=92)


def _truncated_jpeg(picture: Picture) -> bytes:
    data = _jpeg(picture)
    return data[: data.index(b"\xff\xda") + 60]  # a few bytes after the scan has begun


def _truncated_png(picture: Picture) -> bytes:
    data = _png(picture)
    return data[: len(data) // 2]


def _flipped_png(picture: Picture) -> bytes:
    data = bytearray(_png(picture))
    middle = data.index(b"IDAT") + 40
    data[middle : middle + 16] = bytes(byte ^ 0xFF for byte in data[middle : middle + 16])
    return bytes(data)


def _html(picture: Picture) -> bytes:
    return (
        b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head>"
        b"<body><h1>Hotlinking is not allowed</h1></body></html>\n"
    )


def _random_bytes(picture: Picture) -> bytes:
    return np.random.default_rng(int(picture.sum())).bytes(700)


def _one_by_one(picture: Picture) -> bytes:
    return _png(picture[:1, :1])


def _bomb(picture: Picture) -> bytes:
    """A PNG of a few hundred bytes that declares 30,000 by 30,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _cmyk(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).convert("CMYK").save(file, "JPEG", quality=95)
    return file.getvalue()


def _sixteen_bits(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint16) * 257).save(file, "PNG")
    return file.getvalue()


def _animated(kind: str) -> Callable[[Picture], bytes]:
    def make(picture: Picture) -> bytes:
        frames = [Image.fromarray(np.roll(picture, 3 * move, 1)).convert("RGB") for move in (0, 1)]
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=200, loop=0)
        return file.getvalue()

    return make


def _exif_rotated(picture: Picture) -> bytes:
    """Stored on its side, with the EXIF entry that says to turn it a quarter clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(picture))).convert("RGB")
    turned.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


DEFECTS = (
    Defect("truncated_jpeg", ".jpg", False, _truncated_jpeg),
    Defect("truncated_png", ".png", False, _truncated_png),
    Defect("flipped_bytes", ".png", False, _flipped_png),
    Defect("empty", ".jpg", False, lambda picture: b""),
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
