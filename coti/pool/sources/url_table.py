"""A table of URLs in LAION's manner: fetched shard by shard, then read like files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from coti.core.errors import PoolError
from coti.core.file_rules import kind_of_file, suffix_of, user_path
from coti.core.progress import progress_bar
from coti.core.shown_names import escaped
from coti.pool.entry import Entry
from coti.pool.file_tree import FileTree
from coti.pool.input_tables import TABLE_SUFFIXES, Row, Table
from coti.pool.layout import are_tables
from coti.pool.local_files import existing, read_part, temporary_folder
from coti.pool.reasons import Rejected
from coti.pool.sidecars import row_extra
from coti.pool.table_columns import COLUMNS
from coti.pool.untrusted_text import as_text
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
        self._tree = _tree_of(path)
        self._tables = _tables(self._tree, named=not path.is_dir())
        if not self._tables:
            raise PoolError(f"{source!r} holds no table of URLs: give {', '.join(TABLE_SUFFIXES)}.")
        if cache_dir is None:
            cache_dir = temporary_folder(self, "coti-fetch-")
        self._cache = Path(cache_dir) / "fetched"

    @classmethod
    def claims(cls, source: str) -> bool:
        """A table file, or a folder of nothing else with URLs in one of them."""
        path = user_path(source)
        if not path.is_dir():
            return path.is_file() and path.suffix.lower() in TABLE_SUFFIXES
        below = (
            Path(folder, name).relative_to(path).as_posix()
            for folder, _, names in os.walk(path)
            for name in names
        )
        if not are_tables(below):  # a folder of images says so early
            return False
        tree = _tree_of(path)
        return any(_has_urls(tree, name) for name in _tables(tree, named=False))

    def fingerprint(self) -> str:
        """Hash of the tables, as they were read; what lies behind the URLs is known only after
        fetching.
        """
        return self._tree.fingerprint(self._tables)

    def count(self) -> int:
        """How many rows there are; nothing is fetched."""
        return sum(1 for _ in self._rows([]))

    def entries(self) -> Iterator[Entry]:
        """Every row in order, then the tables that must not be read; the next shard is fetched
        while this one is decoded.
        """
        fetch = self._settings.fetch
        folder = self._folder()
        with (
            ThreadPoolExecutor(1, thread_name_prefix="fetch") as ahead,
            progress_bar(what="fetching", unit=" images") as progress,
        ):
            from coti.pool.fetch.fetched_shard import fetch_shard

            waiting = None
            refused: list[Entry] = []
            every = self._rows(refused)
            shards = iter(lambda: tuple(islice(every, fetch.shard_size)), ())
            for number, rows in enumerate(shards):
                path = folder / f"{number:06d}"
                future = ahead.submit(
                    fetch_shard,
                    _urls(rows),
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
            yield from refused

    def some(self, names: Collection[str]) -> Iterator[Entry]:
        """Rows by their names. Of a shard that was not fetched, these alone are."""
        from coti.pool.fetch.fetched_shard import fetch_shard

        fetch, folder, every = self._settings.fetch, self._folder(), self._rows([])
        for number, rows in enumerate(iter(lambda: tuple(islice(every, fetch.shard_size)), ())):
            wanted = tuple((place, row) for place, row in rows if place in names)
            path = folder / f"{number:06d}"
            if wanted and not path.with_suffix(".jsonl").exists():
                chosen = hashlib.sha256("\n".join(place for place, _ in wanted).encode())
                rows, path = wanted, folder / f"{number:06d}-{chosen.hexdigest()[:16]}"
            if wanted:
                shard = fetch_shard(_urls(rows), path, fetch, self._settings.max_bytes)
                yield from (each for each in self._shard(shard, rows) if each.name in names)

    def _folder(self) -> Path:
        """Where this table's shards are kept: what was fetched under other rules is not what these
        would have let in."""
        from coti.pool.fetch.fetched_shard import policy_key

        policy = policy_key(self._settings.fetch, self._settings.max_bytes)
        return self._cache / f"{self.fingerprint()[:20]}-{policy}"

    def _rows(self, refused: list[Entry]) -> Iterator[tuple[str, Row]]:
        """Every row of every table with its place; ``refused`` gets the tables that have none."""
        for listed in self._tables:
            name = escaped(listed)
            try:
                stream = self._tree.open(listed)
            except Rejected as rejected:
                if len(self._tables) == 1:
                    raise PoolError(
                        f"The table {str(self._root / listed)!r} cannot be read: {rejected.detail}."
                    ) from rejected
                refused.append(Entry(name, "", None, rejected.reason, rejected.detail))
                continue
            table = Table(self._root / listed, stream, most_rows=self._settings.max_inputs)
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
            caption, extra = as_text(row.values.get("caption")), row_extra(row, self._settings)
            table = place.rpartition("#")[0]
            entry = Entry(place, caption, extra=extra, file=table, member=str(row.number))
            if not url:
                detail = row.problem or "names no URL"
                yield replace(entry, reason="bad_row", detail=detail)
                continue
            got = next(fetched)
            reason, detail = got.reason, got.detail
            if row.problem and not reason:  # what it says of the image is not known
                reason, detail = "bad_row", row.problem
            if reason:
                yield replace(entry, reason=reason, detail=detail)
                continue
            read = partial(_read, shard.body, got, self._settings.max_bytes)
            yield replace(entry, read=read)


def _urls(rows: tuple[tuple[str, Row], ...]) -> list[str]:
    """Of the rows that name one."""
    return [url for _, row in rows if (url := as_text(row.values.get("url")).strip())]


def _tree_of(path: Path) -> FileTree:
    """A folder's files, or the one table that the user named: a link may lead anywhere."""
    return FileTree(path) if path.is_dir() else FileTree(path.parent, only=path.name)


def _tables(tree: FileTree, *, named: bool) -> list[str]:
    """The tables of a folder, or the ``named`` one, whatever systems call theirs."""
    return [
        name
        for name in tree.listed
        if suffix_of(name) in TABLE_SUFFIXES and (named or kind_of_file(name) != "system")
    ]


def _has_urls(tree: FileTree, name: str) -> bool:
    try:
        table = Table(Path(name), tree.open(name))
    except Rejected:
        return False
    first = islice(table.rows(), table.most_rows)  # with more than these it is no less a table
    return any("url" in table.columns or table.named for _ in first) and "url" in table.columns


def _require_urls(table: Table) -> None:
    if "url" not in table.columns:
        raise PoolError(
            f"The table {str(table.path)!r} has no column of URLs: call it one of "
            f"{', '.join(COLUMNS['url'])}."
        )


def _read(body: Path, row: Kept, largest: int) -> bytes:
    """The bytes of a row, if they are those that were fetched."""
    data = read_part(body, row.offset, row.size, largest)
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise Rejected("unreadable", "not the bytes that were fetched: run it again")
    return data
