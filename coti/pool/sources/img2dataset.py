"""What img2dataset leaves behind: shards with a table of every row, downloaded or not.

Its ``status`` and ``error_message`` decide for the rows that it could not download, and its
``_stats.json`` says whether a shard was finished. Its outputs ``webdataset``, ``files`` and
``parquet`` are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from coti.core.errors import PoolError
from coti.pool.entry import Entry
from coti.pool.file_tree import files_below
from coti.pool.input_tables import Row, Table, as_text, printable
from coti.pool.local_files import existing, hash_files, read_bounded
from coti.pool.sidecars import row_extra
from coti.pool.sources.tar_shards import IMAGE_SUFFIXES, Shard, index_shard, sample_entries
from coti.settings import PoolSettings

__all__ = ["Img2DatasetSource"]

_SHARD = re.compile(r"^(\d+)(?:_stats\.json|\.tar|\.parquet)?$")


class Img2DatasetSource:
    """An output folder of img2dataset."""

    kind = "img2dataset"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        self._root, self._settings = existing(source), settings
        self.notes: list[str] = []
        inside = self._root.iterdir() if self._root.is_dir() else ()
        self._shards = sorted({m.group(1) for p in inside if (m := _SHARD.match(p.name))})
        if not self._shards:
            raise PoolError(f"The folder {source!r} holds no output of img2dataset.")

    @classmethod
    def claims(cls, source: str) -> bool:
        """A folder with a ``_stats.json`` of a shard."""
        path = Path(source).expanduser()
        return path.is_dir() and any(p.name.endswith("_stats.json") for p in path.iterdir())

    def fingerprint(self) -> str:
        """Hash of every file's name and bytes, but for img2dataset's own timings."""
        files = [p for p in files_below(self._root) if not p.name.endswith("_stats.json")]
        return hash_files(self._root, files)

    def entries(self) -> Iterator[Entry]:
        """Every row of every shard; images that no row names are inputs too."""
        for shard in self._shards:
            yield from self._shard(shard)

    def _shard(self, name: str) -> Iterator[Entry]:
        table, tar = self._root / f"{name}.parquet", self._root / f"{name}.tar"
        index = index_shard(tar) if tar.is_file() else None
        rows = 0
        used: set[str] = set()
        if table.is_file():
            for row in Table(table).rows():
                rows += 1
                yield self._entry(name, row, index, used)
        self._check_stats(name, rows if table.is_file() else None)
        if index is not None:
            for key in used:
                index.samples.pop(key, None)
            yield from sample_entries(index, name, self._settings)
        elif (self._root / name).is_dir():
            yield from self._loose(name, used)

    def _entry(self, shard: str, row: Row, index: Shard | None, used: set[str]) -> Entry:
        key = as_text(row.values.get("key")) or str(row.number)
        place, extra = f"{shard}/{printable(key)}", row_extra(row)
        caption = as_text(row.values.get("caption"))
        status = as_text(row.values.get("status")) or "success"
        if status != "success":
            said = as_text(row.values.get("error_message")) or status
            reason = "opt_out" if "robots" in said.lower() else "download_failed"
            used.add(key)
            return Entry(place, caption, None, reason, printable(said)[:200], extra)
        read = self._reader(shard, key, row, index)
        if read is None:
            said = "img2dataset says success, but the image is not there"
            return Entry(place, caption, None, "missing_file", said, extra)
        used.add(key)
        return Entry(place, caption, read, "", "", extra)

    def _reader(
        self, shard: str, key: str, row: Row, index: Shard | None
    ) -> Callable[[], bytes] | None:
        largest = self._settings.max_bytes
        data = row.values.get("image")
        if isinstance(data, bytes):
            return lambda: data
        if index is not None:
            for member in index.samples.get(key, ()):
                suffix = member.name.rpartition(".")[2].lower()
                if not member.reason and suffix in IMAGE_SUFFIXES:
                    return partial(index.read, member, largest)
            return None
        if "/" in key or key.startswith("."):
            return None
        for suffix in ("jpg", "png", "webp", "jpeg"):
            path = self._root / shard / f"{key}.{suffix}"
            if path.is_file() and not path.is_symlink():
                return partial(read_bounded, path, largest)
        return None

    def _loose(self, shard: str, used: set[str]) -> Iterator[Entry]:
        for path in files_below(self._root / shard):
            regular = path.is_file() and not path.is_symlink()
            if path.stem in used or path.suffix.lower() in (".txt", ".json"):
                continue
            place = f"{shard}/{printable(path.relative_to(self._root / shard).as_posix())}"
            if regular:
                read = partial(read_bounded, path, self._settings.max_bytes)
                yield Entry(place, "", read, "", "no row in the table")
            else:
                yield Entry(place, "", None, "not_regular", "not a regular file")

    def _check_stats(self, shard: str, rows: int | None) -> None:
        """Note a shard that img2dataset did not finish, or whose numbers do not add up."""
        path = self._root / f"{shard}_stats.json"
        try:
            stats = json.loads(path.read_text("utf-8"))
            count = int(stats["count"])
        except FileNotFoundError:
            self.notes.append(f"shard {shard} has no _stats.json: img2dataset did not finish it")
            return
        except (OSError, ValueError, KeyError, TypeError):
            self.notes.append(f"{path.name} cannot be read")
            return
        if rows is not None and count != rows:
            self.notes.append(f"shard {shard}: _stats.json counts {count} rows, the table {rows}")
