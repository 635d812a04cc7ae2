"""The sanitised images in one Parquet file, columns ``id``, ``png`` and its ``sha256``.

Behind an image of which much was cut off, a row has it whole and small, for a person to look at.
Later steps read images from here alone and never touch a stranger's bytes again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from coti.core.errors import PoolError
from coti.core.whole_files import whole_file
from coti.core.work import told

if TYPE_CHECKING:
    import torch

__all__ = ["READING", "ImageWriter", "PoolImages", "StoredImages", "encode_png"]

READING = "pool image"
"""What :mod:`coti.core.work` is told of an image that is read again."""

_GROUP_ROWS = 512
_WHOLE = "whole/"
"""Before an image's id, where it is whole; no id has a slash."""
_GROUP_BYTES = 16_000_000


def encode_png(pixels: bytes, width: int, height: int) -> bytes:
    """Raw RGB pixels as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


class ImageWriter:
    """Writes images one by one in row groups, so that any number fits the memory."""

    def __init__(self, path: str | Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = pa.schema(
            [("id", pa.string()), ("png", pa.binary()), ("sha256", pa.binary(32))]
        )
        # Statistics of images are copies of the least and the greatest one.
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="none", use_dictionary=False, write_statistics=False
        )
        self._ids: list[str] = []
        self._images: list[bytes] = []
        self._bytes = 0

    def add(self, identity: str, png: bytes, whole: bytes = b"") -> None:
        """Append one image, and ``whole``, where there is one, the PNG of all that it was."""
        self._ids.append(identity)
        self._images.append(png)
        self._bytes += len(png)
        if len(self._ids) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()
        if whole:
            self.add(_WHOLE + identity, whole)

    def close(self) -> None:
        """Write what is left and the file's end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._ids:
            hashes = [hashlib.sha256(png).digest() for png in self._images]
            columns = [self._ids, self._images, hashes]
            self._writer.write_table(pa.table(columns, schema=self._schema))
        self._ids, self._images, self._bytes = [], [], 0


class PoolImages:
    """Images by id. Opens :func:`ImageWriter`'s file and reads row groups when needed.

    ``source`` is a path, or an open file of a remote store: of that, only what is asked for
    travels, so that a shard's pod doesn't copy the whole pool. ``damaged`` makes the error where
    the file or an image in it is not what was written.
    """

    def __init__(
        self, source: str | Path | BinaryIO, damaged: Callable[[], Exception] | None = None
    ) -> None:
        import pyarrow.parquet as pq

        self.local = isinstance(source, str | Path)
        """Whether the file lies on this machine."""
        self._said = str(source if self.local else getattr(source, "name", "a remote file"))
        self._damaged = damaged or (
            lambda: PoolError(
                f"{self._said!r} is not a file of pool images, or no longer the one that was "
                "written: run the ingestion again."
            )
        )
        self._place: dict[str, tuple[int, int]] = {}
        with self._whole():
            self._file = pq.ParquetFile(source, memory_map=self.local)
            index = self._file.read(columns=["id", "sha256"])
            rows: list[str] = index.column("id").to_pylist()
            hashes = index.column("sha256").to_pylist()
            self.hashes: dict[str, bytes] = dict(zip(rows, hashes, strict=True))
            """Of every row, in the file's order."""
            self.ids = [name for name in rows if not name.startswith(_WHOLE)]
            row = 0
            for group in range(self._file.num_row_groups):
                for offset in range(self._file.metadata.row_group(group).num_rows):
                    self._place[rows[row]] = (group, offset)
                    row += 1

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, identity: str) -> bool:
        return identity in self._place

    def png(self, ids: Sequence[str]) -> list[bytes]:
        """PNG bytes in the order of ``ids``; :class:`PoolError` for an unknown id."""
        found: list[bytes] = [b""] * len(ids)
        for position, data in self._read(ids):
            found[position] = data
        return found

    def whole(self, identity: str) -> bytes | None:
        """PNG bytes of an image as a whole and small, where much of it was cut off."""
        name = _WHOLE + identity
        return self.png([name])[0] if name in self else None

    def tensor(self, ids: Sequence[str]) -> torch.Tensor:
        """Images as uint8 [n, 3, h, w], 0..255, in the order of ``ids``."""
        import numpy as np
        import torch
        from PIL import Image

        pixels: Any = None
        for position, data in told(READING, self._read(ids)):
            image = np.asarray(Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGB"))
            if pixels is None:
                pixels = np.empty((len(ids), *image.shape), dtype=np.uint8)
            pixels[position] = image
        if pixels is None:
            return torch.empty((0, 3, 0, 0), dtype=torch.uint8)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def check(self) -> None:
        """Look at every image; raises where one is not what was written."""
        for _ in self._read(list(self.hashes)):
            pass

    def write(self, path: str | Path, ids: Sequence[str] | None = None) -> None:
        """Write all images, or those of ``ids`` in their order, whole or not at all."""
        with whole_file(Path(path)) as part:
            writer = ImageWriter(part)
            chosen = list(self.hashes if ids is None else ids)
            for start in range(0, len(chosen), _GROUP_ROWS):
                some = chosen[start : start + _GROUP_ROWS]
                for identity, data in zip(some, self.png(some), strict=True):
                    writer.add(identity, data)
            writer.close()

    def _read(self, ids: Sequence[str]) -> Iterator[tuple[int, bytes]]:
        """Positions in ``ids`` and their bytes, a row group at a time."""
        wanted: dict[int, list[tuple[int, int]]] = {}
        for position, identity in enumerate(ids):
            if identity not in self._place:
                raise PoolError(f"There is no image {identity!r} in {self._said!r}.")
            group, offset = self._place[identity]
            wanted.setdefault(group, []).append((position, offset))
        for group in sorted(wanted):
            with self._whole():
                column = self._file.read_row_group(group, columns=["png"]).column("png")
                found = [(position, column[offset].as_py()) for position, offset in wanted[group]]
            for position, data in found:
                if hashlib.sha256(data).digest() != self.hashes[ids[position]]:
                    raise self._damaged()
                yield position, data

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What pyarrow says of a file that is none, or has been cut or changed."""
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException, KeyError, IndexError, TypeError, ValueError) as error:
            raise self._damaged() from error


@dataclass(frozen=True)
class StoredImages:
    """Some images of a file, read where they are asked for: an image set out of memory."""

    names: list[str]
    """Their ids."""
    file: PoolImages

    def tensor(self, names: Sequence[str]) -> torch.Tensor:
        """Images by id: uint8 [len(names), 3, h, w]."""
        return self.file.tensor(names)
