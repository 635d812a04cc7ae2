"""Images and pools that the tests are made of."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coti.settings import PoolSettings


def image(seed: int = 0, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A smooth coloured image that differs from seed to seed."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """A PNG of about a kilobyte that declares ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="session")
def settings() -> PoolSettings:
    """Two workers, whatever the machine has."""
    return PoolSettings(workers=2, read_threads=4)


@pytest.fixture
def pool_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder with the given files; values are bytes, or a number to make an image from."""

    def make(files: dict[str, bytes | int], name: str = "pool") -> Path:
        root = tmp_path / name
        for relative, content in files.items():
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image(content)) if isinstance(content, int) else content)
        return root

    return make
