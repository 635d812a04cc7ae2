"""Inputs of a pool again, byte for byte as they were when they were judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from coti.core.errors import PoolError
from coti.pool.entry import PickingSource, PoolSource
from coti.pool.ingest import shown_name
from coti.pool.reasons import Rejected

__all__ = ["Original", "originals"]


@dataclass(frozen=True)
class Original:
    """One input's bytes."""

    name: str
    """As the manifest's ``source`` has it."""
    data: bytes
    mask: bytes | None = None
    """Of the mask beside it, where there is one."""


def originals(source: PoolSource, wanted: Mapping[str, str]) -> Iterator[Original]:
    """Read inputs once more, in the source's order.

    Args:
        source: opened; of a table of URLs, only these are fetched, or what was kept is read.
        wanted: name to sha256, of a manifest's ``source`` and ``sha256``.

    Raises:
        PoolError: one is gone, cannot be read, or is another file by now.
    """
    left = dict(wanted)
    taken: dict[str, int] = {}
    picks = isinstance(source, PickingSource)
    for entry in source.some(wanted) if isinstance(source, PickingSource) else source.entries():
        name = entry.name if picks else shown_name(entry, taken)
        sha256 = left.pop(name, None)
        if sha256 is None:
            continue
        if entry.read is None:
            raise changed(name, f"cannot be read ({entry.reason})")
        data = _read(entry.read, name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise changed(name, "is another file")
        yield Original(name, data, entry.read_mask and _read(entry.read_mask, entry.mask))
        if not left:
            return
    if left:
        raise changed(next(iter(left)), "is gone")


def _read(read: Callable[[], bytes], name: str) -> bytes:
    try:
        return read()
    except Rejected as refused:
        raise changed(name, f"cannot be read ({refused.reason})") from refused


def changed(name: str, how: str) -> PoolError:
    """What ends it."""
    return PoolError(f"pool: {name} {how} since it was picked: curate again; nothing is saved.")
