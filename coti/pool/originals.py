"""Inputs of a pool again, byte for byte as they were when they were judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coti.core.errors import PoolError
from coti.pool.entry import PickingSource, PoolSource, RangedSource
from coti.pool.ingest import shown_name
from coti.pool.reasons import Rejected

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Original", "originals"]


@dataclass(frozen=True)
class Original:
    """One input's bytes."""

    name: str
    """As the manifest's ``source`` has it."""
    data: bytes
    mask: bytes | None = None
    """Of the mask beside it, where there is one."""


def originals(source: PoolSource, rows: pd.DataFrame) -> Iterator[Original]:
    """Read inputs once more, in no order that is promised.

    Args:
        source: opened; of a table of URLs, only these are fetched, or what was kept is read; of
            archives in a store, only where their bytes lie.
        rows: of a manifest.

    Raises:
        PoolError: one is gone, cannot be read, or is another file by now.
    """
    left = dict(zip(rows["source"], rows["sha256"], strict=True))
    if isinstance(source, RangedSource):
        for row in rows[(rows["offset"] > 0) & (rows["mask"] == "")].to_dict("records"):
            data = _part(source, row)
            if data is not None:
                del left[row["source"]]
                yield Original(str(row["source"]), data)
    if left:
        yield from _walked(source, left)


def _part(source: RangedSource, row: dict[Any, Any]) -> bytes | None:
    """Where it was in its archive; None where something else is there by now."""
    with suppress(Rejected):
        data = source.part(str(row["file"]), int(row["offset"]), int(row["bytes"]))
        if hashlib.sha256(data).hexdigest() == row["sha256"]:
            return data
    return None


def _walked(source: PoolSource, left: dict[str, str]) -> Iterator[Original]:
    """Of a source's entries those that are wanted: name to sha256."""
    taken: dict[str, int] = {}
    picks = isinstance(source, PickingSource)
    wanted = frozenset(left)
    for entry in source.some(wanted) if isinstance(source, PickingSource) else source.entries():
        name = entry.name if picks else shown_name(entry, taken)
        sha256 = left.pop(name, None)
        if sha256 is None:
            continue
        if entry.read is None:
            raise _changed(name, f"cannot be read ({entry.reason})")
        data = _read(entry.read, name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _changed(name, "is another file")
        yield Original(name, data, entry.read_mask and _read(entry.read_mask, entry.mask))
        if not left:
            return
    raise _changed(next(iter(left)), "is gone")


def _read(read: Callable[[], bytes], name: str) -> bytes:
    try:
        return read()
    except Rejected as refused:
        raise _changed(name, f"cannot be read ({refused.reason})") from refused


def _changed(name: str, how: str) -> PoolError:
    return PoolError(f"pool: {name} {how} since it was picked: curate again; nothing is saved.")
