"""Tables that come with a pool: CSV, TSV, JSON lines, Parquet, with the usual names for columns.

Nothing in a table is trusted: encodings, widths, types and names are taken as they come, and a
row that cannot be read is a row that says so.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coti.core.errors import PoolError
from coti.pool.refusals import REFUSAL_COLUMNS
from coti.pool.untrusted_text import decode_text

__all__ = [
    "COLUMNS",
    "TABLE_SUFFIXES",
    "Row",
    "Table",
    "json_row",
    "match_columns",
]

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

COLUMNS: dict[str, tuple[str, ...]] = {
    "file_name": ("file_name", "filename", "image", "file", "path", "image_path", "filepath"),
    "url": ("url", "image_url", "img_url", "image_link", "link", "src", "uri"),
    "caption": ("text", "caption", "prompt", "alt_text", "alttext", "alt", "description", "title"),
    "width": ("original_width", "width"),
    "height": ("original_height", "height"),
    "similarity": (
        "similarity",
        "clip_similarity",
        "clip_similarity_vitb32",
        "clip_b_32_similarity_score",
        "clip_l14_similarity_score",
        "clip_similarity_vitl14",
    ),
    "punsafe": ("punsafe", "prob_unsafe", "unsafe", "nsfw_score"),
    "pwatermark": (
        "pwatermark",
        "prob_watermark",
        "watermark",
        "watermark_score",
    ),
    "aesthetic": (
        "aesthetic_score",
        "aesthetic",
        "aesthetics",
        "aesthetic_score_laion_v2",
        "predicted_aesthetic_score",
    ),
    "license": ("license", "licence", "license_name"),
    "nsfw": ("nsfw", "nsfw_tag", "nsfw_label"),
    **{name: (name, name.replace("_", ":")) for name in REFUSAL_COLUMNS},
    "hash": ("hash", "md5", "uid"),
    "status": ("status",),
    "error_message": ("error_message", "error"),
    "key": ("key", "__key__"),
    "image": ("jpg", "png", "webp", "image_bytes"),
}
"""Our name -> names it goes by, in order of preference; case, '-' and ' ' do not matter."""

_FIELD_LIMIT = 1 << 27


@dataclass(frozen=True)
class Row:
    """One row: its number (from 0) and its values by our column names."""

    number: int
    values: Mapping[str, Any]
    problem: str = ""
    """Why the row cannot be read, where it cannot."""


@dataclass
class Table:
    """A table file; ``columns`` maps our names to the file's."""

    path: Path
    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        """Every row in file order. Raises :class:`PoolError` where there is no table at all."""
        suffix = self.path.suffix.lower()
        try:
            if suffix == ".parquet":
                yield from self._parquet()
            elif suffix == ".jsonl":
                yield from self._json_lines()
            else:
                yield from self._separated("\t" if suffix == ".tsv" else ",")
        except OSError as error:
            raise PoolError(f"The table {self.path} cannot be read: {error}.") from error

    def _name_columns(self, names: list[str]) -> None:
        self.columns = match_columns(names)
        if len({_plain(name) for name in names}) < len(names):
            self.notes.append(f"{self.path.name} names a column twice; the first one counts")

    def _separated(self, delimiter: str) -> Iterator[Row]:
        text = decode_text(self.path.read_bytes(), self.notes, self.path.name).replace("\0", "")
        if csv.field_size_limit() < _FIELD_LIMIT:
            csv.field_size_limit(_FIELD_LIMIT)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names: list[str] | None = None
        number = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, {}, f"not CSV: {error}")
                number += 1
                continue
            if names is None:
                names = cells
                self._name_columns(names)
                places = {ours: names.index(theirs) for ours, theirs in self.columns.items()}
                continue
            if cells:
                values = {ours: cells[i] for ours, i in places.items() if i < len(cells)}
                yield Row(number, values)
                number += 1

    def _json_lines(self) -> Iterator[Row]:
        text = decode_text(self.path.read_bytes(), self.notes, self.path.name)
        for number, line in enumerate(part for part in text.split("\n") if part.strip()):
            row = json_row(number, line)
            self.columns.update(zip(row.values, row.values, strict=True))
            yield row

    def _parquet(self) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(self.path)
            self._name_columns(list(file.schema_arrow.names))
            indices = {ours: file.schema_arrow.names.index(t) for ours, t in self.columns.items()}
            number = 0
            rows = 64 if "image" in self.columns else 4096
            for batch in file.iter_batches(rows, columns=list(self.columns.values())):
                columns = {
                    ours: _parquet_column(batch, theirs)
                    for ours, theirs in self.columns.items()
                    if ours in indices
                }
                for i in range(batch.num_rows):
                    yield Row(number, {ours: values[i] for ours, values in columns.items()})
                    number += 1
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            text = " ".join(str(error).split())[:160]
            raise PoolError(
                f"The table {self.path} is not a readable Parquet file ({text}): write it anew."
            ) from error


def _parquet_column(batch: Any, name: str) -> list[Any]:
    column = batch.column(batch.schema.names.index(name))
    try:
        return list(column.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError):
        values: list[Any] = []
        for cell in column:
            try:
                values.append(cell.as_py())
            except (UnicodeDecodeError, ValueError, OverflowError):
                values.append(None)
        return values


def json_row(number: int, text: str) -> Row:
    """A JSON object as a row; with a problem where it is none."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return Row(number, {}, "not JSON")
    if not isinstance(values, dict):
        return Row(number, {}, "not a JSON object")
    columns = match_columns([str(name) for name in values])
    return Row(number, {ours: values[theirs] for ours, theirs in columns.items()})


def match_columns(names: list[str]) -> dict[str, str]:
    """Our column names -> the file's, by :data:`COLUMNS`."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    found: dict[str, str] = {}
    for ours, variants in COLUMNS.items():
        for variant in variants:
            if variant in plain:
                found[ours] = plain[variant]
                break
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-\s]+", "_", name.strip().lstrip("\ufeff").lower())
