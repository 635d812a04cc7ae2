"""What the files of a pool are to each other: images, their captions, tables that name them.

The same for a folder and for an S3 prefix; a :class:`Tree` says how to list and read.
"""

from __future__ import annotations

import json
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from coti.core.errors import PoolError
from coti.pool.reasons import Rejected
from coti.pool.sources import Entry
from coti.pool.url_tables import (
    COLUMNS,
    TABLE_SUFFIXES,
    Row,
    Table,
    as_number,
    as_text,
    decode_text,
    match_columns,
    printable,
)

__all__ = [
    "SIDECARS",
    "SIDECAR_LIMIT",
    "Tree",
    "caption_of",
    "json_row",
    "row_extra",
    "tree_entries",
]

SIDECARS = (".txt", ".caption", ".json")
SIDECAR_LIMIT = 4_000_000
"""Bytes; a larger caption file is none."""
# fmt: off
_OTHER = frozenset((
    ".txt", ".caption", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".xml", ".yaml", ".yml",
    ".md", ".rst", ".log", ".html", ".htm", ".css", ".js", ".py", ".sh", ".pdf", ".doc",
    ".docx", ".dat", ".db", ".ini", ".npy", ".npz", ".pt", ".bin", ".safetensors", ".pkl",
    ".zip", ".gz", ".bz2", ".xz", ".zst", ".tar", ".7z", ".rar", ".ogg", ".oga", ".opus",
    ".wav", ".mp3", ".flac", ".m4a", ".mid", ".mp4", ".mkv", ".webm", ".avi", ".mov", ".ttf",
    ".otf", ".exe", ".dll", ".so",
))
# fmt: on
_TRANSLATION = re.compile(r"^([a-z]{2,3}(?:_[A-Z]{2})?(?:@\w+)?)(?:\.utf-?8)?=(.*)$", re.I)


class Tree(Protocol):
    """Files by relative name, ``/`` between folders."""

    notes: list[str]

    def names(self) -> list[str]:
        """All files, sorted by folder and name."""
        ...

    def refused(self, name: str) -> tuple[str, str]:
        """Reason and detail where a file must not be read, else two empty strings."""
        ...

    def reader(self, name: str) -> Callable[[], bytes]:
        """What reads the file; raises :class:`Rejected`."""
        ...

    def small(self, name: str) -> bytes:
        """The bytes of a caption file; raises :class:`Rejected`."""
        ...

    def local(self, name: str) -> Path:
        """A table as a local file."""
        ...


def tree_entries(tree: Tree, said: str, language: str) -> Iterator[Entry]:
    """Files by name, then the table rows that no file belongs to.

    Every file is an input, but for metadata tables and the sidecars of other files; every row of
    a table is one too, with the file that it names or without.
    """
    names = tree.names()
    if not names:
        raise PoolError(f"The pool {said!r} is empty: put images into it.")
    tables = [name for name in names if is_metadata(name)]
    rows, leftover = _metadata(tree, tables, names)
    stems = {_stem(name) for name in names if not name.lower().endswith(SIDECARS)}
    captions: dict[str, list[str]] = {}
    for name in names:
        if name.lower().endswith(SIDECARS) and _stem(name) in stems and not is_metadata(name):
            captions.setdefault(_stem(name), []).append(name)
    sidecars = {name for some in captions.values() for name in some}
    for name in names:
        if name in sidecars or is_metadata(name):
            continue
        row, detail = rows.get(name), ""
        if row is not None:
            caption, extra = as_text(row.values.get("caption")), row_extra(row)
        else:
            caption, extra = _sidecar(tree, captions.get(_stem(name), []), language)
            detail = "no row in the metadata" if tables else ""
        reason, problem = _other(name) or tree.refused(name)
        if reason:
            yield Entry(printable(name), caption, None, reason, problem, extra)
        else:
            yield Entry(printable(name), caption, tree.reader(name), "", detail, extra)
    yield from leftover


def _other(name: str) -> tuple[str, str] | None:
    """Reason and detail for a file that is no image by its name."""
    suffix = posixpath.splitext(name)[1].lower()
    return ("other_file", suffix) if suffix in _OTHER else None


def is_metadata(name: str) -> bool:
    """Whether a file is a Hugging Face ``imagefolder`` table."""
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    return stem == "metadata" and suffix in TABLE_SUFFIXES


def _metadata(
    tree: Tree, tables: list[str], names: list[str]
) -> tuple[dict[str, Row], list[Entry]]:
    """Rows by the file they name, and the rows that are inputs of their own."""
    known = set(names)
    composed: dict[str, str] = {}
    for name in names:
        composed.setdefault(unicodedata.normalize("NFC", name), name)
    rows: dict[str, Row] = {}
    leftover: list[Entry] = []
    for table_name in tables:
        reason, detail = tree.refused(table_name)
        if reason:
            leftover.append(Entry(printable(table_name), "", None, reason, detail))
            continue
        table = Table(tree.local(table_name))
        for row in table.rows():
            if row.number == 0 and not row.problem and "file_name" not in table.columns:
                raise PoolError(
                    f"The table {table_name!r} has no column of file names: call it one of "
                    f"{', '.join(COLUMNS['file_name'])}."
                )
            name, reason, detail = _named(row, posixpath.dirname(table_name), known, composed)
            if name in rows and not reason:
                reason, detail = "repeated_row", printable(name)[:200]
            if not reason:
                rows[name] = row
                continue
            caption = as_text(row.values.get("caption"))
            place = f"{printable(table_name)}#{row.number}"
            leftover.append(Entry(place, caption, None, reason, detail, row_extra(row)))
        tree.notes.extend(note for note in table.notes if note not in tree.notes)
    return rows, leftover


def _named(
    row: Row, folder: str, known: set[str], composed: dict[str, str]
) -> tuple[str, str, str]:
    """The file that a row names, or a reason and detail."""
    said = as_text(row.values.get("file_name")).strip()
    if row.problem or not said:
        return "", "bad_row", row.problem or "names no file"
    shown = printable(said)[:200]
    name = posixpath.normpath(posixpath.join(folder, said))
    absolute = said.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:[\\/]", said)
    if absolute or "\0" in said or name == ".." or name.startswith("../"):
        return "", "outside_path", shown
    if name not in known:
        name = composed.get(unicodedata.normalize("NFC", name), "")
    return (name, "", "") if name else ("", "missing_file", shown)


def row_extra(row: Row) -> dict[str, Any]:
    """What a table says of an image beside its caption, in our columns."""
    values = row.values
    extra: dict[str, Any] = {
        name: as_number(values.get(name))
        for name in ("similarity", "punsafe", "pwatermark", "aesthetic")
    }
    for name in ("url", "license", "opt_out"):
        extra[name] = printable(as_text(values.get(name)))[:2_000] or None
    return {name: value for name, value in extra.items() if value is not None}


def json_row(data: bytes) -> Row:
    """A JSON sidecar as a table row; without values where it is no JSON object."""
    try:
        values = json.loads(decode_text(data, [], ""))
    except (ValueError, RecursionError):
        return Row(0, {}, "not JSON")
    if not isinstance(values, dict):
        return Row(0, {}, "not a JSON object")
    columns = match_columns([str(name) for name in values])
    return Row(0, {ours: values[theirs] for ours, theirs in columns.items()})


def caption_of(data: bytes, language: str = "") -> str:
    """The caption in a text file.

    ``xx.utf8=…`` lines are translations (Tux Paint's stamps): the one of ``language`` is taken
    where there is one, else the lines that are none.
    """
    own: list[str] = []
    for line in decode_text(data, [], "").splitlines():
        translated = _TRANSLATION.match(line)
        if translated is None:
            own.append(line)
        elif language and translated.group(1).lower() == language.lower():
            return translated.group(2)
    return " ".join(own)


def _sidecar(tree: Tree, names: list[str], language: str) -> tuple[str, dict[str, Any]]:
    """Caption and further values from the files beside an image; text wins over JSON."""
    caption, extra = "", {}
    for name in sorted(names, key=lambda n: SIDECARS.index(posixpath.splitext(n)[1].lower())):
        try:
            if tree.refused(name)[0]:
                continue
            data = tree.small(name)
        except Rejected:
            continue
        if name.lower().endswith(".json"):
            row = json_row(data)
            extra = row_extra(row)
            caption = caption or as_text(row.values.get("caption"))
        else:
            caption = caption or caption_of(data, language)
    return caption, extra


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]
