"""What img2dataset leaves behind: shards with a table of every row, downloaded or not.

Its ``status`` and ``error_message`` decide for the rows that it could not download, and its
``_stats.json`` says whether a shard was finished. Its outputs ``webdataset``, ``files`` and
``parquet`` are read; what else lies there is read as in any folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from coti.core.errors import PoolError
from coti.core.file_rules import IMAGE_SUFFIXES, suffix_of, user_path
from coti.core.shown_names import escaped, printable
from coti.core.text_files import decode_text, read_json
from coti.pool.entry import Entry
from coti.pool.file_tree import FileTree
from coti.pool.input_tables import Row, Table
from coti.pool.layout import Said, file_entries, listed_entries, shard_entries
from coti.pool.local_files import existing
from coti.pool.reasons import Rejected
from coti.pool.shard_index import index_shard
from coti.pool.sidecars import SIDECAR_LIMIT, merged_extra, row_extra
from coti.pool.untrusted_text import as_text
from coti.settings import PoolSettings

__all__ = ["Img2DatasetSource"]

_SHARD = re.compile(r"^((?:.*/)?\d+)(?:_stats\.json|\.tar|\.parquet|/.*)$")


class Img2DatasetSource:
    """An output folder of img2dataset, or one with such folders in it."""

    kind = "img2dataset"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        root, self._settings = existing(source), settings
        self.notes: list[str] = []
        self._tree = FileTree(root) if root.is_dir() else None
        listed = self._tree.listed if self._tree else {}
        self._shards: dict[str, list[str]] = {}
        """Files by the name of their shard; under an empty one what is beside them."""
        for name in listed:
            found = _SHARD.match(name)
            self._shards.setdefault(found.group(1) if found else "", []).append(name)
        if not any(self._shards):
            raise PoolError(f"The folder {source!r} holds no output of img2dataset.")

    @classmethod
    def claims(cls, source: str) -> bool:
        """A folder with a ``_stats.json`` of a shard somewhere in it."""
        below = os.walk(user_path(source))
        return any(name.endswith("_stats.json") for _, _, names in below for name in names)

    def fingerprint(self) -> str:
        """Hash of every file's name and bytes, but for img2dataset's own timings."""
        tree = self._files
        return tree.fingerprint([n for n in tree.listed if not n.endswith("_stats.json")])

    def entries(self) -> Iterator[Entry]:
        """Every row of every shard; images that no row names are inputs too."""
        for shard in sorted(filter(None, self._shards)):
            yield from self._shard(shard, self._shards[shard])
        yield from listed_entries(self._files, self._shards.get("", ()), self._settings, {}, Said())

    @property
    def _files(self) -> FileTree:
        assert self._tree is not None
        return self._tree

    def _shard(self, shard: str, names: list[str]) -> Iterator[Entry]:
        tree, settings = self._files, self._settings
        table, tar, stats = f"{shard}.parquet", f"{shard}.tar", f"{shard}_stats.json"
        index = index_shard(tree, tar) if tar in names else None
        loose = {name: (name, 0) for name in names if name not in (table, tar, stats)}
        images: dict[str, tuple[bool, str]] = {}
        """By key: whether in the archive, and the identity there."""
        for inside, members in ((True, index.members if index else ()), (False, loose)):
            for identity in members:
                if suffix_of(identity) in IMAGE_SUFFIXES:
                    images.setdefault(_key(identity), (inside, identity))
        said: dict[bool, dict[str, Said]] = {True: {}, False: {}}
        failed: set[str] = set()
        rows = 0
        for row in self._rows(table) if table in names else ():
            rows += 1
            key = as_text(row.values.get("key")) or str(row.number)
            place, extra = f"{escaped(shard)}/{escaped(key)}", row_extra(row, settings)
            caption, data = as_text(row.values.get("caption")), row.values.get("image")
            reason, detail = _failure(row)
            if reason:
                failed.add(key)
            elif isinstance(data, bytes) and row.problem:
                reason, detail = "bad_row", row.problem
                failed.add(key)
            elif isinstance(data, bytes):
                yield Entry(
                    place,
                    caption,
                    partial(_bounded, data, settings.max_bytes),
                    extra=extra,
                    file=escaped(table),
                    member=escaped(key),
                )
                continue
            elif key not in images:
                reason, detail = "missing_file", "img2dataset says success, but it is not there"
            else:
                inside, identity = images[key]
                if identity in said[inside]:
                    reason, detail = "repeated_row", printable(key)[:200]
                    said[inside][identity].extra = merged_extra(said[inside][identity].extra, extra)
                else:
                    said[inside][identity] = Said(caption, extra, problem=row.problem, place=place)
            if reason:
                yield Entry(place, caption, None, reason, detail, extra)
        self._check_stats(shard, stats, rows if table in names else None)
        unsaid = Said(detail="no row in the table" if table in names else "")
        # what has the key of a failed row is that row's
        loose = {name: at for name, at in loose.items() if _key(name) not in failed}
        if index is not None:
            index.members = {n: m for n, m in index.members.items() if _key(n) not in failed}
            yield from shard_entries(tree, tar, settings, index, said[True], unsaid)
        yield from file_entries(tree, loose, settings, said[False], unsaid)

    def _rows(self, table: str) -> Iterator[Row]:
        try:
            stream = self._files.open(table)
            most = self._settings.max_inputs
            yield from Table(Path(table), stream=stream, most_rows=most).rows()
        except Rejected as rejected:
            raise PoolError(
                f"The table {table!r} cannot be read ({rejected.detail}): without it nobody knows "
                "what its images are; put it back, or take the shard away."
            ) from rejected

    def _check_stats(self, shard: str, name: str, rows: int | None) -> None:
        """Note a shard that img2dataset did not finish, or whose numbers do not add up."""
        if name not in self._files.listed:
            self.notes.append(f"shard {shard} has no _stats.json: img2dataset did not finish it")
            return
        try:
            count = int(read_json(decode_text(self._files.read(name, SIDECAR_LIMIT)).text)["count"])
        except (Rejected, ValueError, KeyError, TypeError, OverflowError):
            self.notes.append(f"{name} cannot be read")
            return
        if rows is not None and count != rows:
            self.notes.append(f"shard {shard}: _stats.json counts {count} rows, the table {rows}")


def _key(name: str) -> str:
    return name.rpartition("/")[2].split(".", 1)[0]


def _failure(row: Row) -> tuple[str, str]:
    """Reason and detail of a row that img2dataset could not download."""
    status = as_text(row.values.get("status")) or "success"
    if status == "success":
        return "", ""
    said = as_text(row.values.get("error_message")) or status
    return ("opt_out" if "robots" in said.lower() else "download_failed"), printable(said)[:200]


def _bounded(data: bytes, largest: int) -> bytes:
    if len(data) > largest:
        raise Rejected("file_too_large", f"{len(data)} bytes")
    return data
