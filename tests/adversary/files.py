"""Hostile image files without end, from a seed: what a stranger, a bad disk or a fuzzer writes."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coti.core.decoding import FORMATS
from coti.core.errors import PoolError
from coti.core.images import from_pil, read_image
from coti.pool.decode.decoder import Limits
from coti.pool.decode.sandbox import DecodePool
from coti.pool.reasons import Rejected
from tests.adversary.lasting import lasting
from tests.coti.core.colour_profiles import MATRICES, cmyk_profile, grey_profile, rgb_profile

__all__ = ["attack", "hostile_files"]


def attack(dice: random.Random, folder: Path) -> list[str]:
    """A file in the sandbox (pool, seeds) and outside (references, edits): no crash, no hang, the
    same pixels or the same reason, and none because a confined decoder wanted a file.
    """
    path = next(hostile_files(dice, folder))
    try:
        inside = np.frombuffer(_sandbox().decode(path.read_bytes()).pixels, np.uint8)
        reason, detail = "", ""
    except Rejected as rejected:
        reason, detail = rejected.reason, rejected.detail
    assert not re.search(r"Import|Module|Permission|not permitted|Errno", detail), detail
    assert reason not in ("decode_crashed", "decode_timeout"), (reason, detail)
    try:
        outside = from_pil([read_image(path)], 16)[0].permute(1, 2, 0).numpy()
        assert not reason, (reason, detail)
        assert np.array_equal(inside, outside.ravel())
    except PoolError as error:
        said = str(error)
        assert "\n" not in said, said
        assert f"({reason}: " in said, (reason, detail, said)
    return [reason or "image"]


@cache
def _sandbox() -> DecodePool:
    limits = Limits(16)
    return lasting.enter_context(DecodePool(limits, workers=1, timeout=20, memory=2_000_000_000))


_MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F", "I", "LAB", "YCbCr")
_DEEP: dict[str, Any] = {"I;16": np.uint16, "F": np.float32, "I": np.int32}
_SUFFIXES = (*(f".{kind.lower()}" for kind in FORMATS), ".JPG", ".tif", "", ".png.png", ".ü")
_PROFILES = [cmyk_profile(), grey_profile(2.2), *map(rgb_profile, MATRICES)]


def hostile_files(dice: random.Random, folder: Path) -> Iterator[Path]:
    """Files that look like images, one by one, each new in ``folder``; take as many as wanted.

    Every format and mode, with profiles, EXIF and XMP, still and moving; whole, cut, with flipped
    bits, lying lengths and sizes (PNG's checksums mended, so that the lie is read), spliced,
    doubled, two formats in one. Some are good images. The same dice give the same files.
    """
    number = 0
    while True:
        data = _image(dice)
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            data = dice.choice(_ATTACKS)(dice, data)
        path = folder / f"{number:06d}{dice.choice(_SUFFIXES)}"
        path.write_bytes(data)
        yield path
        number += 1


def _image(dice: random.Random) -> bytes:
    """A good file, of any format that takes it."""
    size = dice.choice(((1, 1), (9, 7), (64, 48), (300, 1), (130, 120)))
    pixels = np.frombuffer(dice.randbytes(size[0] * size[1] * 3), np.uint8)
    noise = Image.fromarray(pixels.reshape(size[1], size[0], 3))
    while True:
        kind, mode = dice.choice(FORMATS), dice.choice(_MODES)
        options: dict[str, Any] = {}
        if dice.random() < 0.4:
            options["icc_profile"] = _mutated(dice, dice.choice(_PROFILES))
        if dice.random() < 0.3:
            exif = Image.Exif()
            exif[0x0112] = dice.randrange(12)
            options["exif"] = exif
        if dice.random() < 0.2:
            options["xmp"] = b"<x:xmpmeta tiff:Orientation='6'>" + dice.randbytes(90)
        if dice.random() < 0.1:
            options |= {"save_all": True, "append_images": [noise]}
        stream = io.BytesIO()
        if kind == "AVIF":  # its encoder dies of some small films
            options = {**options, "save_all": False, "max_threads": 1, "speed": 10}
        try:
            _in_mode(dice, noise, mode).save(stream, kind, **options)
        except (OSError, ValueError, KeyError, TypeError, SystemError, RuntimeError):
            continue  # the format has no such mode
        return stream.getvalue()


def _in_mode(dice: random.Random, noise: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.frombytes("LAB", noise.size, noise.tobytes())
    if mode in _DEEP:
        values = np.asarray(noise.convert("L")).astype(_DEEP[mode])
        return Image.fromarray(values * dice.choice((1, 16, 257)))
    return noise.convert(mode)


def _mutated(dice: random.Random, data: bytes) -> bytes:
    return data if dice.random() < 0.5 else _flip(dice, data)


def _cut(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _flip(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 30))):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _lie(dice: random.Random, data: bytes) -> bytes:
    """A number among the first bytes, where sizes, counts and offsets are."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        place = dice.randrange(min(len(changed), 200) + 1)
        number = dice.choice((0, 1, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1))
        word = struct.pack(
            dice.choice(("<I", ">I", "<H", ">H")[: 2 if number > 65_535 else 4]), number
        )
        changed[place : place + len(word)] = word
    return bytes(changed)


def _lie_in_chunk(dice: random.Random, data: bytes) -> bytes:
    """A PNG's chunk changed, doubled, emptied or swapped for another, with a true checksum."""
    if not data.startswith(b"\x89PNG"):
        return _lie(dice, data)
    chunks, place = [], 8
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        chunks.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return data
    chosen = dice.randrange(len(chunks))
    name, content = chunks[chosen]
    other = (
        dice.choice((b"tRNS", b"iCCP", b"zTXt", b"acTL", b"fcTL", b"eXIf", b"PLTE", b"gAMA")),
        dice.choice((dice.randbytes(20), b"a\0\0" + zlib.compress(bytes(2_000_000)))),
    )
    chunks[chosen : chosen + 1] = dice.choice((
        [(name, _lie(dice, content))],
        [(name, content)] * 2,
        [(name, b"")],
        [(name, content), other],
        [other, (name, content)],
    ))  # fmt: skip
    parts = [data[:8]]
    for name, content in chunks:
        end = struct.pack(">I", zlib.crc32(name + content))
        parts.append(struct.pack(">I", len(content)) + name + content + end)
    return b"".join(parts)


def _splice(dice: random.Random, data: bytes) -> bytes:
    """One file's beginning, another's rest."""
    other = _image(dice)
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other)) :]


def _double(dice: random.Random, data: bytes) -> bytes:
    place = dice.randrange(len(data) + 1)
    return data[:place] + data[dice.randrange(len(data) + 1) :]


def _polyglot(dice: random.Random, data: bytes) -> bytes:
    """Two kinds of file in one."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../out.txt", "x")
    others = [
        stream.getvalue(),
        b"<html><script>alert(1)</script>",
        b"%PDF-1.7\n",
        b"MZ" + bytes(60),
    ]
    others += [
        b"GIF89a/*",
        b"\xff\xd8\xff\xe0",
        _image(dice),
        b"<svg onload=alert(1)>",
        b"\x1f\x8b",
    ]
    other = dice.choice(others)
    return dice.choice((other + data, data + other, other[:8] + data[8:]))


def _swollen(dice: random.Random, data: bytes) -> bytes:
    """Emptiness inside."""
    place = dice.randrange(len(data) + 1)
    return data[:place] + bytes(dice.choice((1, 4, 4_096, 300_000))) + data[place:]


_ATTACKS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_cut, _flip, _lie, _lie, _lie_in_chunk, _lie_in_chunk, _splice, _double, _polyglot, _swollen),
)
