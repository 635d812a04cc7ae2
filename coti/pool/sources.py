"""Where a pool comes from: one interface for folders, tar shards, URL tables, S3 and img2dataset.

A source lists its inputs as :class:`Entry` rows, in the same order on every machine, and never
skips one: what cannot be read is an entry with a reason.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from coti.core.errors import PoolError
from coti.pool.reasons import Rejected
from coti.pool.url_tables import TABLE_SUFFIXES, Table
from coti.settings import PoolSettings

__all__ = [
    "Entry",
    "Source",
    "fingerprint_source",
    "open_source",
    "read_bounded",
    "temporary_folder",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One input: a file, an object, a shard's member, a table's row."""

    name: str
    """Relative to the source, printable."""
    caption: str = ""
    """As it came."""
    read: Callable[[], bytes] | None = None
    """The bytes; raises :class:`Rejected` where they cannot be had."""
    reason: str = ""
    """A reason code where there is nothing to read."""
    detail: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the table says: ``url``, ``similarity``, ``punsafe``, ``pwatermark``, ``license`` …"""


class Source(Protocol):
    """A pool that can be listed, read and fingerprinted."""

    kind: str
    notes: list[str]
    """What a reader of the report should know about the source as a whole."""

    def entries(self) -> Iterator[Entry]:
        """Every input, in an order that the content alone decides."""
        ...

    def fingerprint(self) -> str:
        """Hash of names and content: the same on every machine, another one once it changes."""
        ...


def open_source(
    source: str, settings: PoolSettings, *, cache_dir: str | Path | None = None
) -> Source:
    """Find out what ``source`` is and open it. Raises :class:`PoolError` where it is nothing.

    ``cache_dir`` keeps what was fetched from URLs; without it nothing can be resumed.
    """
    kind = settings.kind if settings.kind != "auto" else detect_kind(source)
    if kind == "s3":
        from coti.pool.s3 import S3Source

        return S3Source(source, settings)
    path = Path(source).expanduser()
    if not path.exists():
        raise PoolError(
            f"The pool {source!r} does not exist: give a folder of images, tar shards, "
            "a table of URLs, or an s3:// prefix."
        )
    if kind == "url_table":
        from coti.pool.fetch.urls import UrlTableSource

        return UrlTableSource(path, settings, cache_dir)
    if kind == "webdataset":
        from coti.pool.tar_shards import WebDatasetSource

        return WebDatasetSource(path, settings)
    if kind == "img2dataset":
        from coti.pool.img2dataset import Img2DatasetSource

        return Img2DatasetSource(path, settings)
    if not path.is_dir():
        raise PoolError(
            f"The pool {source!r} is a single file of no known kind: give a folder of images, "
            f"a .tar shard, or a table of URLs ({', '.join(TABLE_SUFFIXES)})."
        )
    from coti.pool.folder import FolderSource

    return FolderSource(path, settings)


def detect_kind(source: str) -> str:
    """The kind of a source, from its name and what lies in it."""
    if source.startswith("s3://"):
        return "s3"
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() == ".tar":
            return "webdataset"
        return "url_table" if path.suffix.lower() in TABLE_SUFFIXES else "folder"
    if not path.is_dir():
        return "folder"
    names = sorted(entry.name for entry in path.iterdir())
    if any(name.endswith("_stats.json") for name in names):
        return "img2dataset"
    if any(name.endswith(".tar") for name in names):
        return "webdataset"
    tables = [n for n in names if n.lower().endswith(TABLE_SUFFIXES) and not _is_metadata(n)]
    if tables and len(tables) == len(names) and _has_urls(path / tables[0]):
        return "url_table"
    return "folder"


def _is_metadata(name: str) -> bool:
    return name.lower().startswith("metadata.")


def _has_urls(path: Path) -> bool:
    table = Table(path)
    for _ in table.rows():
        break
    return "url" in table.columns


def fingerprint_source(source: str, settings: PoolSettings | None = None) -> str:
    """Hash of a source's names and bytes; an S3 prefix's of its keys, sizes and ETags.

    The same pool has the same hash on every machine; times and owners do not enter it.
    """
    return open_source(source, settings or PoolSettings()).fingerprint()


def hash_files(root: Path, paths: Iterable[Path]) -> str:
    """sha256 over the relative names and contents of ``paths``, which must be sorted."""

    def one(path: Path) -> bytes:
        relative = path.relative_to(root).as_posix().encode(errors="surrogateescape")
        digest = hashlib.sha256(len(relative).to_bytes(8, "big") + relative)
        try:
            if path.is_file():
                with path.open("rb") as stream:
                    digest.update(b"file" + hashlib.file_digest(stream, "sha256").digest())
            else:
                digest.update(b"no regular file")
        except OSError:
            digest.update(b"unreadable")
        return digest.digest()

    total = hashlib.sha256(b"coti pool 1")
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(one, paths, chunksize=64):
            total.update(part)
    return total.hexdigest()


def temporary_folder(owner: object, prefix: str) -> Path:
    """A new folder that goes when ``owner`` does."""
    folder = tempfile.mkdtemp(prefix=prefix)
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def read_bounded(path: Path, largest: int, *, offset: int = 0, size: int | None = None) -> bytes:
    """A regular file's bytes, or a part of them; :class:`Rejected` where that fails."""
    try:
        with path.open("rb") as stream:
            if offset:
                stream.seek(offset)
            wanted = largest + 1 if size is None else size
            if wanted > largest and size is not None:
                raise Rejected("file_too_large", f"{size} bytes")
            data = stream.read(wanted)
    except FileNotFoundError as error:
        raise Rejected("vanished", "gone since it was listed") from error
    except OSError as error:
        raise Rejected("unreadable", error.strerror or type(error).__name__) from error
    if size is None and len(data) > largest:
        raise Rejected("file_too_large", f"more than {largest} bytes")
    if size is not None and len(data) < size:
        raise Rejected("broken_shard", f"{len(data)} of {size} bytes are there")
    return data
