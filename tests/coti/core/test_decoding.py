"""One rule for colours, depths, transparency and damage, whoever reads the image."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from coti.core.decoding import FORMATS, MOST_PIXELS, decode
from coti.core.errors import PoolError
from coti.core.file_rules import FileRefused
from coti.core.fitting import Fit
from coti.core.images import from_pil, read_image, read_image_folder
from coti.pool.chosen_images import read_chosen_images
from coti.pool.decode.decoder import Limits, decode_image
from coti.settings import PoolSettings
from tests.coti.core.colour_profiles import (
    MATRICES,
    cmyk_profile,
    encode_rgb,
    from_linear,
    grey_profile,
    ink_colours,
    rgb_profile,
)
from tests.coti.pool.conftest import bomb

PROFILES = {space: rgb_profile(space) for space in MATRICES}
CMYK, GREY = cmyk_profile(), grey_profile(1.0)
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True, "exact": True},
    "JPEG": {"quality": 100, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4", "speed": 10},
}
"""Formats that carry a profile, as near to the pixels as they go."""


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file's bytes."""
    stream = io.BytesIO()
    image.save(stream, kind, **{**LOSSLESS.get(kind, {}), **options})
    return stream.getvalue()


def plain(values: Any, mode: str = "RGB") -> Image.Image:
    """An image of one colour."""
    return Image.new(mode, (8, 8), tuple(int(value) for value in values))


def colour(data: bytes) -> np.ndarray:
    """The decoded image's one colour."""
    return np.asarray(decode(data).image).reshape(-1, 3).astype(int).mean(axis=0)


def refused(data: bytes, **limits: Any) -> FileRefused:
    """Why the bytes are refused."""
    with pytest.raises(FileRefused) as caught:
        decode(data, **limits)
    return caught.value


@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(24, 255)] * 3),
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from(sorted(LOSSLESS)),
    st.booleans(),
)
def test_a_colour_in_any_profile_and_format_arrives_as_that_colour_in_srgb(
    wanted: tuple[int, int, int], space: str, kind: str, clear: bool
) -> None:
    """Numbers made from the spaces' definitions come back within a few levels, opaque or with an
    alpha channel; and no further than Little CMS itself is.
    """
    stored = plain(encode_rgb(np.array(wanted), space))
    if clear and kind != "JPEG":
        stored.putalpha(255)
    data = encoded(stored, kind, icc_profile=PROFILES[space])
    found = colour(data)
    # Lossy ones round in the wide space, where a level is several of a dark sRGB colour.
    assert np.abs(found - wanted).max() <= (20 if kind in ("JPEG", "AVIF") else 5)
    with Image.open(io.BytesIO(data)) as opened:
        library = ImageCms.profileToProfile(
            opened.convert("RGB"),
            ImageCms.ImageCmsProfile(io.BytesIO(PROFILES[space])),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    assert np.abs(found - np.asarray(library)[0, 0]).max() <= 2


@settings(max_examples=20)
@given(st.tuples(*[st.sampled_from(range(0, 256, 51))] * 4), st.sampled_from(["JPEG", "TIFF"]))
def test_inks_arrive_as_their_profile_says(inks: tuple[int, ...], kind: str) -> None:
    """CMYK by its profile; without one by Pillow's rule."""
    wanted = 255 * ink_colours(np.array([inks]) / 255)[0]
    found = colour(encoded(plain(inks, "CMYK"), kind, icc_profile=CMYK))
    assert np.abs(found - wanted).max() <= 9


@given(st.integers(0, 65535), st.sampled_from(["PNG", "TIFF"]))
def test_grey_of_16_bits_keeps_its_profile(level: int, kind: str) -> None:
    """Linear light, in which 8 bits would lose the shadows."""
    stored = Image.fromarray(np.full((4, 4), level, np.uint16))
    found = colour(encoded(stored, kind, icc_profile=GREY))
    assert np.abs(found - 255 * from_linear(level / 65535)).max() <= 2


def test_lab_needs_no_profile() -> None:
    """A TIFF of L*a*b*."""
    red = ImageCms.profileToProfile(
        plain((200, 80, 60)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert np.abs(colour(encoded(red, "TIFF", compression="raw")) - (200, 80, 60)).max() <= 4


@pytest.mark.parametrize(
    "profile",
    [b"", b"no profile", PROFILES["ProPhoto"][:200], CMYK, GREY, bytes(3_000)],
    ids=["empty", "text", "cut", "of inks", "of greys", "zeros"],
)
def test_a_damaged_or_foreign_profile_costs_the_profile_alone(profile: bytes) -> None:
    """The pixels stay as they are, and the image says so."""
    found = decode(encoded(plain((200, 80, 60)), "PNG", icc_profile=profile))
    assert found.image.getpixel((0, 0)) == (200, 80, 60)
    assert not profile or any("profile ignored" in note for note in found.notes)


def test_an_ignored_profile_is_not_applied_later() -> None:
    """Inks with a profile of light: the decoded image is light, and the profile no longer its."""
    found = decode(
        encoded(plain((0, 90, 200, 9), "CMYK"), "TIFF", icc_profile=PROFILES["ProPhoto"])
    )
    again = from_pil([found.image], 8)[0, :, 0, 0].tolist()
    assert tuple(again) == found.image.getpixel((0, 0))


def test_pixels_that_are_srgb_already_stay_bit_for_bit() -> None:
    """The many profiles that are sRGB by another name change nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    data = encoded(Image.fromarray(pixels), "PNG", icc_profile=PROFILES["sRGB"])
    assert np.array_equal(np.asarray(decode(data).image), pixels)


def png(depth: int, kind: int, row: bytes, *chunks: tuple[bytes, bytes], width: int = 2) -> bytes:
    """A PNG of one row by hand, in depths that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + end

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    between = b"".join(chunk(*each) for each in chunks)
    body = chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + between + body


def tiff(bits: int, row: bytes, *extra: tuple[int, int], photometric: int = 1) -> bytes:
    """A TIFF of one row of grey by hand."""
    width = len(row) * 8 // bits
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1}
    tags |= {279: len(row), **dict(extra)}
    row += bytes(len(row) % 2)
    table = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return (
        b"II*\0" + struct.pack("<I", 8 + len(row)) + row
        + struct.pack("<H", len(tags)) + table + bytes(4)
    )  # fmt: skip


def bmp_without_alpha() -> bytes:
    """32 bits a pixel, masks that name an alpha channel, and nobody wrote it."""
    pixels = struct.pack("<4B", 60, 80, 200, 0) * 4
    header = struct.pack("<IiiHHIIiiII", 124, 2, 2, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs"
    header = header.ljust(124, b"\0")
    return b"BM" + struct.pack("<IHHI", 138 + len(pixels), 0, 0, 138) + header + pixels


ODD: dict[str, tuple[bytes, list[tuple[int, int, int]]]] = {
    "16-bit grey with a transparent value": (
        png(16, 0, b"\x00\x07\x80\x80", (b"tRNS", b"\x00\x07")),
        [(255,) * 3, (128,) * 3],
    ),
    "4-bit grey with a transparent value": (
        png(4, 0, b"\x3f", (b"tRNS", b"\x00\x03")),
        [(255,) * 3, (255,) * 3],
    ),
    "2-bit grey with a transparent value": (
        png(2, 0, b"\x40", (b"tRNS", b"\x00\x01")),
        [(255,) * 3, (0,) * 3],
    ),
    "16-bit colour with a transparent value": (
        png(16, 2, b"\x12\x34" * 3 + b"\x80\x00" * 3, (b"tRNS", b"\x12\x34" * 3)),
        [(255,) * 3, (128,) * 3],
    ),
    "BMP with an alpha of zeros": (bmp_without_alpha(), [(200, 80, 60)] * 2),
    "16-bit TIFF": (tiff(16, struct.pack("<2H", 32896, 65535)), [(128,) * 3, (255,) * 3]),
    "dark 16-bit TIFF": (tiff(16, struct.pack("<2H", 200, 257)), [(1,) * 3, (1,) * 3]),
    "12-bit TIFF": (tiff(12, b"\x80\x8f\xff"), [(128,) * 3, (255,) * 3]),
    "12 bits in 16, said": (
        tiff(16, struct.pack("<2H", 2056, 4095), (281, 4095)),
        [(128,) * 3, (255,) * 3],
    ),
    "16-bit TIFF with black for white": (
        tiff(16, struct.pack("<2H", 0, 65535), photometric=0),
        [(255,) * 3, (0,) * 3],
    ),
    "TIFF of 32-bit numbers": (
        tiff(32, struct.pack("<2I", 0, 1_000_000)),
        [(0,) * 3, (255,) * 3],
    ),
    "TIFF of fractions": (
        tiff(32, struct.pack("<2f", 0.5, 1.0), (339, 3)),
        [(128,) * 3, (255,) * 3],
    ),
    "TIFF of any floating point": (
        tiff(32, struct.pack("<2f", -3.0, 700.0), (339, 3)),
        [(0,) * 3, (255,) * 3],
    ),
}
"""Files that were read in two ways, or black where white was meant, and their pixels."""


@pytest.mark.parametrize("name", ODD)
def test_depths_and_transparency_mean_what_the_format_says(name: str) -> None:
    """Scaled by the file's own most, transparent pixels white."""
    data, wanted = ODD[name]
    found = np.asarray(decode(data).image)[0]
    assert [tuple(pixel) for pixel in found.tolist()] == wanted


def test_every_entry_point_reads_the_same(tmp_path: Path) -> None:
    """Pool, seeds, references and a single image: the same pixels, whatever the file."""
    files = {f"{number:02}.png": data for number, (data, _) in enumerate(ODD.values())}
    for number, kind in enumerate(FORMATS):
        image = Image.effect_noise((60, 40), 90).convert("RGB")
        options = {} if kind in ("GIF", "BMP") else {"icc_profile": PROFILES["ProPhoto"]}
        files[f"{number}.{kind.lower()}"] = encoded(image, kind, **options)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    names, references = read_image_folder(tmp_path, 16)
    assert names == sorted(files)
    seeds = read_chosen_images(tmp_path, 16, Fit())
    assert seeds[1] == names
    assert torch.equal(seeds[2], references)
    for name, row in zip(names, references, strict=True):
        pooled = decode_image(files[name], Limits(16, measure=False)).pixels
        assert row.permute(1, 2, 0).numpy().tobytes() == pooled
        assert torch.equal(from_pil([read_image(tmp_path / name)], 16)[0], row)


TEXT = b"Comment\0" + b"x" * 3_000_000


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", TEXT * 25),
        (b"zTXt", b"Comment\0\0" + zlib.compress(TEXT)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(TEXT)),
        (b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000))),
    ],
    ids=["many texts", "packed text", "XMP", "profile"],
)
def test_large_metadata_does_not_cost_the_image(chunk: tuple[bytes, bytes]) -> None:
    """As ComfyUI and Photoshop write it; a text that unpacks without end is never unpacked."""
    found = decode(png(8, 0, b"\x10\x20", chunk))
    assert found.image.getpixel((1, 0)) == (32, 32, 32)
    assert found.notes == ["metadata of more than 1 MB ignored"]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_large_metadata_of_other_formats_is_no_matter(kind: str) -> None:
    """EXIF and XMP of as many bytes as the format takes."""
    xmp = b"<x:xmpmeta>" + b" " * (60_000 if kind == "JPEG" else 3_000_000)
    assert decode(encoded(plain((9, 9, 9)), kind, xmp=xmp)).image.size == (8, 8)


def test_the_limit_on_pixels_is_said_and_a_camera_is_below_it() -> None:
    """50 megapixels are an image; more than the limit names it; what no file of that size can hold
    is a bomb.
    """
    assert PoolSettings().max_pixels == MOST_PIXELS
    large = encoded(Image.new("1", (8688, 5792), 1), "PNG")
    assert decode(large).image.size == (8688, 5792)
    found = refused(encoded(Image.effect_noise((400, 300), 50), "PNG"), max_pixels=100_000)
    assert (found.reason, found.detail) == ("too_many_pixels", "400x300 is more than 100000 pixels")
    for side in (12_000, 30_000):
        assert refused(bomb(side)).reason == "decompression_bomb"


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (encoded(plain((9, 9, 9)), "AVIF")[:120], "corrupt", "no usable header"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif" + bytes(80), "corrupt", "no usable header"),
        (b"\0\0\0\x20ftypheix\0\0\0\0mif1heic" + bytes(80), "unsupported_format", "HEIC"),
        (b"\0\0\0\x20ftypmsf1\0\0\0\0hevc" + bytes(80), "unsupported_format", "HEIC"),
        (b"\0\0\0\x20ftypisom\0\0\0\0mp41" + bytes(80), "not_an_image", "a film"),
        (b"RIFF\x10\0\0\0WAVEfmt " + bytes(80), "not_an_image", "a sound"),
        (b"RIFF\x10\0\0\0WEBPVP9 " + bytes(80), "corrupt", "no usable header"),
        (b"II+\0\x08\0\0\0" + bytes(80), "corrupt", "no usable header"),
        (b"\xff\x4f\xff\x51" + bytes(80), "unsupported_format", "JPEG 2000"),
    ],
    ids=["avif", "mif1", "heix", "msf1", "film", "sound", "webp", "bigtiff", "jpeg2000"],
)
def test_damaged_and_foreign_files_are_called_what_they_are(
    data: bytes, reason: str, said: str
) -> None:
    """By their beginning, where no decoder takes them."""
    found = refused(data)
    assert (found.reason, said in found.detail) == (reason, True), found.detail


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def sparse(path: Path) -> None:
    """A file of 60 MB that takes no space."""
    path.touch()
    os.truncate(path, 60_000_000)


def files_that_are_no_images() -> dict[str, Callable[[Path], object]]:
    """What stands in folders beside images, made at a path."""
    return {
        **{
            name: lambda path: path.write_bytes(b"\0" * 8)
            for name in ("Thumbs.db", "desktop.ini", "._a.png", ".DS_Store", "notes.md", "a.txt")
        },
        "__MACOSX/._b.jpg": lambda path: path.write_bytes(b"\0" * 8),
        ".git/a.png": lambda path: path.write_bytes(b"\0" * 8),
    }


@pytest.mark.parametrize(
    "read", [read_image_folder, partial(read_chosen_images, fit=Fit())], ids=["references", "seeds"]
)
def test_folders_of_chosen_images_have_one_rule(tmp_path: Path, read: Callable[..., Any]) -> None:
    """Subfolders count, links inside too, what systems leave behind does not; a link that leaves,
    an animation, a pipe, another file: one sentence with the name and the remedy.
    """
    good = encoded(plain((200, 80, 60)), "AVIF")
    folder = tmp_path / "chosen"
    for name in ("b.avif", "deeper/a.avif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(good)
    for name, make in files_that_are_no_images().items():
        (folder / name).parent.mkdir(exist_ok=True)
        make(folder / name)
    (folder / "c.avif").symlink_to("b.avif")
    found = read(folder, 8)
    names, images = found[-2:]
    assert names == ["b.avif", "c.avif", "deeper/a.avif"]
    assert images.shape == (3, 3, 8, 8)

    (tmp_path / "outside.avif").write_bytes(good)
    animation = encoded(plain((1, 2, 3)), "GIF", save_all=True, append_images=[plain((200, 2, 3))])
    bad: list[tuple[str, Callable[[Path], object], str]] = [
        ("link.avif", lambda path: path.symlink_to(tmp_path / "outside.avif"), "copy the file"),
        ("moving.gif", lambda path: path.write_bytes(animation), "save the frame"),
        ("pipe.png", lambda path: os.mkfifo(path), "not a regular file"),
        ("lfs.png", lambda path: path.write_bytes(LFS), "git lfs pull"),
        ("sound.mp3", lambda path: path.write_bytes(b"ID3" + bytes(80)), "an MP3 sound"),
        ("huge.png", sparse, "file_too_large.*smaller"),
        ("cut.avif", lambda path: path.write_bytes(good[:150]), "corrupt|truncated"),
    ]
    for name, make, said in bad if read is read_image_folder else bad[:2]:
        make(folder / name)
        with pytest.raises(PoolError, match=f"{name} cannot be read as an image.*{said}"):
            read(folder, 8)
        if name != "link.avif":
            with pytest.raises(PoolError, match=f"{name} cannot be read as an image.*{said}"):
                read_image(folder / name)
        (folder / name).unlink()
