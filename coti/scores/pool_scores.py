"""Features of a whole pool, computed once, and what a cycle does with them: one pass.

A safetensors file holds ``features`` [n, d]; it is mapped, not loaded, and read block by block,
so that a pool may be larger than the memory. :func:`rescore` brings both scores of Eq. 11 up to
date in that one pass: Eq. 8's minimum against the B new images alone, and the aesthetic head.
"""

from __future__ import annotations

import json
import mmap
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from coti.core.errors import PoolError
from coti.scores.aesthetic import AestheticHead
from coti.scores.formulas import smooth_clamp

__all__ = ["PoolFeatures", "rescore", "write_features"]

_BLOCK = 8192
_TYPES = {"F32": torch.float32, "F16": torch.float16}


class PoolFeatures:
    """Rows of features in a file; ``blocks()`` reads them once through, in bounded memory."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as stream:
                (size,) = struct.unpack("<Q", stream.read(8))
                if size > 1_000_000:
                    raise ValueError("header too long")
                header = json.loads(stream.read(size))
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            entry = header["features"]
            kind = _TYPES[entry["dtype"]]
            rows, width = (int(side) for side in entry["shape"])
            self._start = 8 + size + int(entry["data_offsets"][0])
            if self._start + rows * width * kind.itemsize > len(self._map):
                raise ValueError("cut off")
            with warnings.catch_warnings():  # torch warns of read-only memory; nothing writes
                warnings.simplefilter("ignore")
                every = torch.frombuffer(
                    self._map, dtype=kind, count=rows * width, offset=self._start
                )
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise PoolError(
                f"{str(self.path)!r} holds no pool features ({error}): embed the pool again."
            ) from error
        self.shape = (rows, width)
        self._rows = every.view(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, rows: int = _BLOCK) -> Iterator[tuple[slice, torch.Tensor]]:
        """Slices and their features, float32 [m, d], from first to last.

        A block is valid until the next one is asked for: its pages are given back then.
        """
        released = 0
        for first in range(0, len(self), rows):
            last = min(first + rows, len(self))
            yield slice(first, last), self._rows[first:last].float()
            end = self._start + last * self.shape[1] * self._rows.itemsize
            end = end // mmap.PAGESIZE * mmap.PAGESIZE
            if end - released >= 1 << 26 and hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED, released, end - released)
                released = end

    def rows(self, places: Sequence[int]) -> torch.Tensor:
        """The rows at ``places``, float32 [m, d]."""
        return self._rows[torch.tensor(places, dtype=torch.int64)].float()


def write_features(
    path: str | Path, blocks: Iterable[torch.Tensor], rows: int, width: int, *, half: bool = False
) -> None:
    """Write blocks [m, width] as one safetensors file of ``rows`` rows, whole or not at all.

    ``half`` stores float16: half the disk and half the reading, cosines off by about 1e-3.
    """
    kind = "F16" if half else "F32"
    size = rows * width * _TYPES[kind].itemsize
    entry = {"dtype": kind, "shape": [rows, width], "data_offsets": [0, size]}
    header = json.dumps({"features": entry}).encode()
    header += b" " * (-len(header) % 8)
    path = Path(path)
    part = path.with_name(path.name + ".part")
    written = 0
    with part.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        for block in blocks:
            if block.ndim != 2 or block.shape[1] != width:
                raise PoolError(f"features are [n, {width}], got {list(block.shape)}.")
            stream.write(block.to(_TYPES[kind]).contiguous().numpy().data)
            written += len(block)
    if written != rows:
        part.unlink()
        raise PoolError(f"{rows} rows of features were announced, {written} came: embed again.")
    part.replace(path)


def _blocks(features: PoolFeatures | torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    if isinstance(features, PoolFeatures):
        yield from features.blocks()
        return
    for first in range(0, len(features), _BLOCK):
        rows = slice(first, min(first + _BLOCK, len(features)))
        yield rows, features[rows]


@torch.no_grad()
def rescore(
    features: PoolFeatures | torch.Tensor,
    new_features: torch.Tensor,
    least: torch.Tensor,
    head: AestheticHead,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least cosines (Eq. 8) and S_aes (Eq. 7) of a pool after X_T grew, in one pass.

    Args:
        features: the pool's L2-normalised features [n, d].
        new_features: [b, d], L2-normalised features of the images that joined X_T.
        least: [n], least cosines so far, infinite where there are none.
        head: the aesthetic head; an affine one costs one more column of the same product.

    Returns:
        Least cosines [n] to the whole X_T, and S_aes [n] in [0, 10].
    """
    affine = len(head) == 1
    columns, bias = new_features, torch.zeros(1)
    if affine:
        tensors = head.to_tensors()
        columns = torch.cat([new_features, tensors["0.weight"]])
        bias = tensors["0.bias"]
    now, s_aes = torch.empty_like(least), torch.empty_like(least)
    count = len(new_features)
    for rows, block in _blocks(features):
        products = columns @ block.T  # this way round: few long rows, the faster shape
        now[rows] = least[rows]
        if count:
            now[rows] = torch.minimum(least[rows], products[:count].amin(dim=0))
        s_aes[rows] = smooth_clamp(products[count] + bias) if affine else head.score(block)
    return now, s_aes
