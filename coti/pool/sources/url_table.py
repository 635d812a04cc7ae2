"""A table of URLs in LAION's manner: fetched shard by shard, then read like files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from coti.core.errors import PoolError
from coti.core.file_rules import kind_of_file, suffix_of
from coti.pool.entry import Entry
from coti.pool.file_tree import files_below
from coti.pool.input_tables import TABLE_SUFFIXES, Row, Table
from coti.pool.layout import are_tables
from coti.pool.local_files import existing, hash_files, read_bounded, temporary_folder
from coti.pool.reasons import Rejected
from coti.pool.sidecars import row_extra
from coti.pool.table_columns import COLUMNS
from coti.pool.untrusted_text import as_text, printable
from coti.settings import PoolSettings

if TYPE_CHECKING:
    from coti.pool.fetch.fetched_shard import Kept, Shard

__all__ = ["UrlTableSource"]


class UrlTableSource:
    """A CSV, TSV, JSON lines or Parquet file with a column of URLs, or a folder of them.

    What was fetched is kept in ``cache_dir``, so that a broken run goes on and an unchanged table
    is not fetched again; without one it lasts as long as the source.
    """

    kind = "url_table"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        path, self._settings = existing(source), settings
        self.notes: list[str] = []
        self._root = path if path.is_dir() else path.parent
        self._tables = _tables(path)
        if not self._tables:
            raise PoolError(f"{source!r} holds no table of URLs: give {', '.join(TABLE_SUFFIXES)}.")
        if cache_dir is None:
            cache_dir = temporary_folder(self, "coti-fetch-")
        self._cache = Path(cache_dir) / "fetched"

    @classmethod
    def claims(cls, source: str) -> bool:
        """A table file, or a folder of nothing else with URLs in one of them."""
        path = Path(source).expanduser()
        if not path.is_dir():
            return path.is_file() and path.suffix.lower() in TABLE_SUFFIXES
        below = (
            Path(folder, name).relative_to(path).as_posix()
            for folder, _, names in os.walk(path)
            for name in names
        )
        return are_tables(below) and any(map(_has_urls, _tables(path)))

    def fingerprint(self) -> str:
        """Hash of the tables; what lies behind the URLs is known only after fetching."""
        return hash_files(self._root, self._tables)

    def entries(self) -> Iterator[Entry]:
        """Every row in order; the next shard is fetched while this one is decoded."""
        fetch = self._settings.fetch
        with (
            ThreadPoolExecutor(1, thread_name_prefix="fetch") as ahead,
            tqdm(desc="fetching", unit=" images", leave=False, disable=None) as progress,
        ):
            from coti.pool.fetch.fetched_shard import fetch_shard, policy_key

            # What was fetched under other rules is not what these would have let in.
            policy = policy_key(fetch, self._settings.max_bytes)
            folder = self._cache / f"{self.fingerprint()[:20]}-{policy}"
            waiting = None
            every = self._rows()
            shards = iter(lambda: tuple(islice(every, fetch.shard_size)), ())
            for number, rows in enumerate(shards):
                urls = [as_text(row.values.get("url")).strip() for _, row in rows]
                path = folder / f"{number:06d}"
                future = ahead.submit(
                    fetch_shard,
                    [url for url in urls if url],
                    path,
                    fetch,
                    self._settings.max_bytes,
                    progress=progress.update,
                )
                if waiting is not None:
                    yield from self._shard(waiting[0].result(), waiting[1])
                waiting = (future, rows)
            if waiting is not None:
                yield from self._shard(waiting[0].result(), waiting[1])

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """Every row of every table with its place."""
        for path in self._tables:
            table = Table(path, most_rows=self._settings.max_inputs)
            name = printable(path.relative_to(self._root).as_posix())
            read = False
            for row in table.rows():
                read = read or not row.problem
                if table.named:  # by a header, which a row of JSON is not
                    _require_urls(table)
                yield f"{name}#{row.number}", row
            if read:
                _require_urls(table)
            self.notes.extend(note for note in table.notes if note not in self.notes)

    def _shard(self, shard: Shard, rows: tuple[tuple[str, Row], ...]) -> Iterator[Entry]:
        if shard.damaged:
            self.notes.append(
                f"{shard.damaged} of {len(shard.rows)} images kept in {shard.body.name} were "
                "damaged or cut off: fetched again"
            )
        fetched = iter(shard.rows)
        for place, row in rows:
            url = as_text(row.values.get("url")).strip()
            caption, extra = as_text(row.values.get("caption")), row_extra(row)
            if not url:
                detail = row.problem or "names no URL"
                yield Entry(place, caption, None, "bad_row", detail, extra)
                continue
            got = next(fetched)
            if got.reason:
                yield Entry(place, caption, None, got.reason, got.detail, extra)
                continue
            read = partial(_read, shard.body, got, self._settings.max_bytes)
            yield Entry(place, caption, read, "", "", extra)


def _tables(path: Path) -> list[Path]:
    files = files_below(path) if path.is_dir() else [path]
    return [
        file
        for file in files
        if suffix_of(file.name) in TABLE_SUFFIXES
        and (file == path or kind_of_file(file.relative_to(path).as_posix()) != "system")
    ]


def _has_urls(path: Path) -> bool:
    table = Table(path)
    return any("url" in table.columns or table.named for _ in table.rows()) and (
        "url" in table.columns
    )


def _require_urls(table: Table) -> None:
    if "url" not in table.columns:
        raise PoolError(
            f"The table {str(table.path)!r} has no column of URLs: call it one of "
            f"{', '.join(COLUMNS['url'])}."
        )


def _read(body: Path, row: Kept, largest: int) -> bytes:
    """The bytes of a row, if they are those that were fetched."""
    data = read_bounded(body, largest, offset=row.offset, size=row.size)
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise Rejected("unreadable", "not the bytes that were fetched: run it again")
    return data
