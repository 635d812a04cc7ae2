"""Tables that come with a pool: CSV, TSV, JSON lines, Parquet, with the usual names for columns.

Nothing in a table is trusted: encodings, widths, types and names are taken as they come, and a
row that cannot be read is a row that says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from coti.core.errors import PoolError
from coti.core.file_rules import TABLE_SUFFIXES, stand_in
from coti.core.text_files import decode_text, lines_of, read_csv, read_json
from coti.pool.parquet_process import parquet_batches
from coti.pool.refusals import REFUSAL_COLUMNS
from coti.pool.table_columns import COLUMNS, REFUSING, column_of, match_columns, plain_name

__all__ = [
    "TABLE_SUFFIXES",
    "Row",
    "Table",
    "json_row",
    "value_row",
]

_LONE_BACKSLASH = re.compile(r"(?<!\\)\\(?![\"\\/bfnrtu])")
_KNOWN = frozenset(name for names in COLUMNS.values() for name in names)
_LARGEST_TEXT = 1_000_000_000
"""Bytes of a table of text, which is in memory while it is read."""
_LONGEST_CELL = 4_000_000
"""Characters; what is longer was never one value."""
_LONGEST_LINE = 8_000_000
"""Characters of JSON, which may take twenty times as much once it is parsed."""
_EITHER_WAY = frozenset((*REFUSAL_COLUMNS, *REFUSING)) - {"license"}
"""Columns that count wherever they may lie in a row of too many cells; a license allows."""


@dataclass(frozen=True)
class Row:
    """One row: its number (from 0) and its values by our column names."""

    number: int
    values: Mapping[str, Any]
    problem: str = ""
    """Why the row cannot be read, where it cannot."""


@dataclass
class Table:
    """A table file; ``columns`` are those that it has, by our names."""

    path: Path
    """Its name says what it is."""
    stream: BinaryIO
    """The open file, which is read once and closed."""
    columns: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    named: bool = False
    """Whether a header was there; JSON lines have none."""
    most_rows: int = 1_000_000
    """``pool_rules.max_inputs``"""

    def rows(self) -> Iterator[Row]:
        """Every row in file order. Raises :class:`PoolError` where there is no table at all."""
        try:
            with self.stream as stream:
                if said := stand_in(stream.read(64)):
                    raise PoolError(f"The table {self.path} is {said}.")
                stream.seek(0)
                if self.path.suffix.lower() == ".parquet":
                    rows = self._parquet(stream)
                elif self.path.suffix.lower() == ".jsonl":
                    rows = self._json_lines(self._text(stream))
                else:
                    rows = self._separated(self._text(stream))
                for row in rows:
                    if row.number >= self.most_rows:
                        raise PoolError(
                            f"The table {self.path} has more than {self.most_rows} rows: split it, "
                            "or raise pool_rules.max_inputs."
                        )
                    yield _checked(row)
        except OSError as error:
            raise PoolError(f"The table {self.path} cannot be read: {error}.") from error

    def _name_columns(self, names: list[str]) -> dict[str, int]:
        places = match_columns(names)
        self.named, self.columns = True, set(places)
        if len({plain_name(name) for name in names}) < len(names):
            self.notes.append(
                f"{self.path.name} names a column twice; the first one counts, of those that may "
                "refuse each"
            )
        return places

    def _text(self, stream: BinaryIO) -> str:
        size = stream.seek(0, os.SEEK_END)  # a read of what may be reserves as much
        stream.seek(0)
        data = stream.read(min(size, _LARGEST_TEXT) + 1)
        if len(data) > _LARGEST_TEXT:
            raise PoolError(
                f"The table {self.path} has more than {_LARGEST_TEXT} bytes: split it, or write it "
                "as Parquet."
            )
        text, note = decode_text(data)
        if note:
            self.notes.append(f"{self.path.name} is {note}")
        return text

    def _separated(self, text: str) -> Iterator[Row]:
        names: list[str] = []
        places: dict[str, int] = {}
        joined = 0
        for number, (_, cells, problem) in enumerate(read_csv(text, _KNOWN), -1):
            if number < 0:
                names, places = cells, self._name_columns(cells)
                continue
            may: dict[str, list[str]] = {}
            if len(cells) > len(names):
                may = _wherever(cells, len(names), places)
                if "caption" in places:
                    cells = _fitted(cells, len(names), places["caption"])
                    joined += 1
            values: dict[str, Any] = {
                ours: cells[i] for ours, i in places.items() if i < len(cells)
            }
            values |= may
            yield Row(number, values, problem)
        if joined:
            self.notes.append(
                f"{self.path.name}: {joined} rows have more cells than the header; the surplus is "
                "taken as commas of the caption, or is empty"
            )

    def _json_lines(self, text: str) -> Iterator[Row]:
        for number, line in enumerate(part for part in lines_of(text) if part.strip()):
            if len(line) > _LONGEST_LINE:
                yield Row(number, {}, f"a line of {len(line)} characters")
                continue
            row = json_row(number, line)
            self.columns.update(row.values)
            yield row

    def _parquet(self, stream: BinaryIO) -> Iterator[Row]:
        number, places = 0, dict[str, int]()
        for said in parquet_batches(stream, str(self.path)):
            if isinstance(said, list):
                places = self._name_columns(said)
                continue
            for values, problem in zip(said.rows, said.problems, strict=True):
                yield Row(number, dict(zip(places, values, strict=True)), problem)
                number += 1


def _fitted(cells: list[str], width: int, caption: int) -> list[str]:
    """A row of more cells than ``width`` as one of so many.

    The surplus is commas that nobody quoted, and free text is what has them; or the row ends in
    empty cells, as spreadsheets export them. No caption ends in a comma.
    """
    end, last = len(cells), caption + len(cells) - width
    while end > width and not cells[end - 1].strip() and not cells[last].strip():
        end, last = end - 1, last - 1
    return [*cells[:caption], ",".join(cells[caption : last + 1]), *cells[last + 1 : end]]


def _wherever(cells: list[str], width: int, places: Mapping[str, int]) -> dict[str, list[str]]:
    """What may be the value of a column that refuses, in a row of more cells than ``width``.

    Which cell holds the comma that nobody quoted, or how many of the empty ones at the end are
    surplus, nobody knows.
    """
    surplus = len(cells) - width
    spans: dict[str, tuple[int, int]] = {}
    for ours, i in places.items():
        if (column := column_of(ours)) in _EITHER_WAY:
            first, last = spans.get(column, (i, i))
            spans[column] = min(first, i), max(last, i)
    return {
        f"{column} or": cells[first : last + surplus + 1] for column, (first, last) in spans.items()
    }


def _checked(row: Row) -> Row:
    for name, value in row.values.items():
        if isinstance(value, str) and len(value) > _LONGEST_CELL:
            kept = {**row.values, name: ""}
            return Row(row.number, kept, f"a cell of {len(value)} characters under {name}")
    return row


def json_row(number: int, text: str) -> Row:
    """A JSON object as a row; with a problem where it is none."""
    try:
        values = read_json(text)
    except ValueError:
        try:  # a Windows path in it, as train\\1.png
            values = read_json(_LONE_BACKSLASH.sub(r"\\\\", text))
        except ValueError:
            return Row(number, {}, "not JSON")
    return value_row(number, values)


def value_row(number: int, values: Any) -> Row:
    """What a JSON text says as a row."""
    if not isinstance(values, dict):
        return Row(number, {}, "not a JSON object")
    said = list(values.values())
    places = match_columns([str(name) for name in values])
    return Row(number, {ours: said[place] for ours, place in places.items()})
