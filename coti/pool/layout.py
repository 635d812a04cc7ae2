"""What the files of a pool are to each other: images, their captions, tables that name them."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator
from functools import partial

from coti.core.errors import PoolError
from coti.pool.entry import Entry
from coti.pool.file_tree import FileTree
from coti.pool.input_tables import COLUMNS, TABLE_SUFFIXES, Row, Table, as_text, printable
from coti.pool.sidecars import SIDECAR_LIMIT, SIDECARS, from_sidecars, row_extra
from coti.settings import PoolSettings

__all__ = ["is_metadata", "tree_entries"]

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
def tree_entries(
    tree: FileTree, said: str, settings: PoolSettings, notes: list[str]
) -> Iterator[Entry]:
    """Files by name, then the table rows that no file belongs to.

    Every file is an input, but for metadata tables and the sidecars of other files; every row of
    a table is one too, with the file that it names or without. What is odd in a table is added
    to ``notes``.
    """
    names = list(tree.listed)
    if not names:
        raise PoolError(f"The pool {said!r} is empty: put images into it.")
    tables = [name for name in names if is_metadata(name)]
    rows, leftover = _metadata(tree, tables, names, notes)
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
            beside = [
                (posixpath.splitext(part)[1].lower(), partial(tree.read, part, SIDECAR_LIMIT))
                for part in captions.get(_stem(name), ())
                if not tree.refused(part)[0]
            ]
            caption, extra = from_sidecars(beside, settings.caption_language)
            detail = "no row in the metadata" if tables else ""
        reason, problem = _other(name) or tree.refused(name, settings.max_bytes)
        if reason:
            yield Entry(printable(name), caption, None, reason, problem, extra)
        else:
            read = partial(tree.read, name, settings.max_bytes)
            yield Entry(printable(name), caption, read, "", detail, extra)
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
    tree: FileTree, tables: list[str], names: list[str], notes: list[str]
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
        notes.extend(note for note in table.notes if note not in notes)
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


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]
