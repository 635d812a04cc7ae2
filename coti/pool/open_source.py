"""From what the user names to the source that reads it, by its kind or by what it looks like."""

from __future__ import annotations

from pathlib import Path

from coti.core.errors import PoolError
from coti.pool.entry import PoolSource
from coti.pool.local_files import existing
from coti.pool.sources import POOL_SOURCES
from coti.settings import PoolSettings

__all__ = ["detect_kind", "fingerprint_source", "open_source"]


def open_source(
    source: str, settings: PoolSettings, *, cache_dir: str | Path | None = None
) -> PoolSource:
    """Open ``source`` as ``settings.kind``, or as what it is found to be.

    ``cache_dir`` keeps what was fetched from URLs; without it nothing can be resumed. Raises
    :class:`PoolError` where it is nothing; :class:`ConfigError` where there is no such kind.
    """
    kind = settings.kind if settings.kind != "auto" else detect_kind(source)
    return POOL_SOURCES.get(kind)(source, settings, cache_dir)


def detect_kind(source: str) -> str:
    """The kind that claims a source, the last registered one first."""
    for kind in reversed(POOL_SOURCES.names()):
        if POOL_SOURCES.get(kind).claims(source):
            return kind
    path = existing(source)
    what = (
        "a single file of no known kind"
        if path.is_file()
        else "neither a file nor a folder but a pipe, a socket or a device"
    )
    raise PoolError(
        f"The pool {str(path)!r} is {what}: give a folder of "
        "images, a .tar shard, or a table of URLs."
    )


def fingerprint_source(source: str, settings: PoolSettings | None = None) -> str:
    """Hash of a source's names and bytes; an S3 prefix's of its keys, sizes and ETags.

    The same pool has the same hash on every machine; times and owners do not enter it.
    """
    return open_source(source, settings or PoolSettings()).fingerprint()
