"""What the files of a pool are to each other: images, their captions, tables that name them.

A folder's files and an archive's members go through the same rules.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from coti.core.errors import PoolError
from coti.core.file_rules import (
    IMAGE_SUFFIXES,
    SIDECAR_SUFFIXES,
    TABLE_SUFFIXES,
    kind_of_file,
    suffix_of,
)
from coti.core.shown_names import escaped, printable
from coti.pool.entry import Entry
from coti.pool.file_tree import FileTree
from coti.pool.input_tables import Row, Table
from coti.pool.reasons import Rejected
from coti.pool.shard_index import Shard, index_shard
from coti.pool.sidecars import (
    SIDECAR_LIMIT,
    attach,
    is_map,
    masks_of,
    merged_extra,
    read_sidecars,
    row_extra,
    sample_key,
)
from coti.pool.table_columns import COLUMNS
from coti.pool.untrusted_text import as_text
from coti.settings import PoolSettings

__all__ = [
    "Files",
    "Said",
    "are_tables",
    "expected",
    "file_entries",
    "is_metadata",
    "is_shard",
    "listed_entries",
    "shard_entries",
    "tree_entries",
]


# fmt: off
_PARTS = frozenset((
    ".cls", ".cls2", ".id", ".idx", ".inx", ".index", ".pth", ".ten", ".tb", ".npy", ".npz", ".pyd",
    ".pickle", ".pkl", ".mp", ".msg", ".msgpack", ".cbor", ".emb", ".bbox", ".transcript",
))
"""Members of WebDataset's samples that are no image, beside those that folders have."""
# fmt: on


class Files(Protocol):
    """What a folder and an archive have in common."""

    def refused(self, name: str, largest: int | None = None) -> tuple[str, str]:
        """Reason and detail where a file must not be read, else two empty strings."""
        ...

    def read(self, name: str, largest: int) -> bytes:
        """All bytes of a file; raises :class:`Rejected`."""
        ...

    def where(self, name: str) -> tuple[str, str, int]:
        """File or object of the source, the member in it, and bytes before that."""
        ...


@dataclass
class Said:
    """What tables say of a file."""

    caption: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    detail: str = ""
    problem: str = ""
    """What is wrong with what they say, where something is."""
    place: str = ""
    """The name of its entry, where it has another one than its file."""


def tree_entries(
    tree: FileTree, said: str, settings: PoolSettings, notes: list[str]
) -> Iterator[Entry]:
    """Files by name, then the members of tar shards, then table rows.

    Every file is an input, but for metadata tables and the sidecars of other files; every row of
    a table is one too, with the file that it names or without. What is odd in a table is added
    to ``notes``.
    """
    names = list(tree.listed)
    if not names:
        raise PoolError(f"The pool {said!r} is empty: put images into it.")
    tables = [name for name in names if is_metadata(name)]
    rows, leftover = _metadata(tree, tables, names, notes, settings)
    yield from listed_entries(
        tree,
        [name for name in names if not is_metadata(name)],
        settings,
        rows,
        Said(detail="no row in the metadata" if tables else ""),
    )
    yield from leftover


def listed_entries(
    tree: FileTree,
    names: Iterable[str],
    settings: PoolSettings,
    said: Mapping[str, Said],
    unsaid: Said,
) -> Iterator[Entry]:
    """Entries of some files of a tree in their order, then those of the shards among them."""
    every = list(names)
    yield from file_entries(tree, [n for n in every if not is_shard(n)], settings, said, unsaid)
    for name in filter(is_shard, every):
        yield from shard_entries(tree, name, settings)


def file_entries(
    files: Files,
    names: Iterable[str] | Mapping[str, tuple[str, int]],
    settings: PoolSettings,
    said: Mapping[str, Said],
    unsaid: Said,
    prefix: str = "",
    sampled: bool = False,
) -> Iterator[Entry]:
    """Entries of files that lie side by side, in their order: images with their sidecars.

    Args:
        files: reads them.
        names: of the files; or their names and parts by identity, as :func:`attach` takes them.
        settings: the pool's.
        said: what tables say, by identity.
        unsaid: of a file that no table speaks of.
        prefix: of the entries' names.
        sampled: a class, a feature or the like belongs to the sample that it is in, and is an
            input of its own only where the sample has no image.
    """
    members = names if isinstance(names, Mapping) else {name: (name, 0) for name in names}
    roles = {identity: _role(name, sampled) for identity, (name, _) in members.items()}
    beside, orphans = attach({i: members[i] for i in members if roles[i] in ("image", "sidecar")})
    alone = set(orphans)
    samples = {sample_key(members[identity][0]) for identity in beside}
    masks = masks_of(beside, members)
    for identity, (name, _) in members.items():
        role, problem = roles[identity], files.refused(identity, settings.max_bytes)
        if role == "sidecar" and identity not in alone:
            continue
        if role == "part" and not problem[0] and sample_key(name) in samples:
            continue
        if problem[0] != "unreadable":
            problem = _no_image(name, role) or problem
        table = said.get(identity)
        if identity in beside and not beside[identity].problem:
            caption, extra, notes = read_sidecars(
                beside[identity],
                members,
                partial(_read_sidecar, files),
                settings,
            )
        else:
            caption, extra, notes = "", {}, []
            if identity in beside and not problem[0]:
                problem = ("bad_row", beside[identity].problem)
        if table is not None:
            caption = table.caption or caption
            extra = merged_extra(table.extra, extra)
            if table.problem and not problem[0]:
                problem = ("bad_row", table.problem)
        detail = (table or unsaid).detail
        place = table.place if table and table.place else f"{prefix}{escaped(identity)}"
        file, member, offset = files.where(identity)
        entry = Entry(place, caption, None, *problem, extra, escaped(file), escaped(member), offset)
        if not problem[0]:
            mask = masks.get(identity, "")
            entry = replace(
                entry,
                read=partial(files.read, identity, settings.max_bytes),
                detail="; ".join(filter(None, [detail, *notes])),
                mask=escaped(mask),
                read_mask=partial(files.read, mask, settings.max_bytes) if mask else None,
            )
        yield entry


def expected(names: Iterable[str]) -> int:
    """How many inputs files are, about; 0 where there are archives, which hold nobody knows what.

    >>> expected(["a.jpg", "a.txt", "b.png"])
    2
    """
    listed = list(names)
    if any(map(is_shard, listed)):
        return 0
    return sum(_role(name, False) == "image" for name in listed)


def shard_entries(
    tree: FileTree,
    name: str,
    settings: PoolSettings,
    shard: Shard | None = None,
    said: Mapping[str, Said] | None = None,
    unsaid: Said | None = None,
) -> Iterator[Entry]:
    """The images of a shard with the captions of their samples; a broken end is a row, too.

    ``shard`` is its index where there is one, ``said`` and ``unsaid`` are what tables say as
    :func:`file_entries` takes it.
    """
    shard = shard or index_shard(tree, name)
    names = {identity: (member.name, member.part) for identity, member in shard.members.items()}
    place = escaped(name)
    yield from file_entries(
        shard, names, settings, said or {}, unsaid or Said(), f"{place}/", sampled=True
    )
    if shard.broken:
        yield Entry(place, "", None, "broken_shard", shard.broken, file=place)


def _read_sidecar(files: Files, identity: str) -> bytes:
    reason, detail = files.refused(identity, SIDECAR_LIMIT)
    if reason:
        raise Rejected(reason, detail)
    return files.read(identity, SIDECAR_LIMIT)


def _role(name: str, sampled: bool) -> str:
    """Image, sidecar, part of a sample, or none of these.

    A file of a folder that may be an image is opened to see; so is nothing but what is called one
    in a sample, whose other members are classes, features and the like (a part), or nobody knows
    what (none). Sounds have texts, too.
    """
    kind, suffix = kind_of_file(name), suffix_of(name)
    if kind == "system" or is_map(name):
        return "none"
    if suffix in SIDECAR_SUFFIXES:
        return "sidecar"
    if sampled:
        part = suffix in _PARTS or kind in ("side", "other")
        return "image" if suffix in IMAGE_SUFFIXES else "part" if part else "none"
    return "image" if kind in ("image", "other") else "none"


def _no_image(name: str, role: str) -> tuple[str, str] | None:
    """Reason and detail for a file that is no image by its name."""
    kind, suffix = kind_of_file(name), suffix_of(name)
    if kind == "system":
        return "other_file", "left by a system or a tool"
    if is_map(name):
        return "other_file", "a map of an image by its name: rename it to have it read"
    if role == "sidecar":
        return "other_file", f"{suffix}, of no image here"
    if role == "none" and kind == "image":
        return "other_file", f"{suffix[:50]!r} is no image's suffix: rename it to have it read"
    return ("other_file", suffix) if kind != "image" or role == "part" else None


def is_metadata(name: str) -> bool:
    """Whether a file is a Hugging Face ``imagefolder`` table."""
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    return stem == "metadata" and suffix in TABLE_SUFFIXES


def are_tables(names: Iterable[str]) -> bool:
    """Whether files are tables, and none a ``metadata`` one, beside what systems leave behind."""
    tables = False
    for name in names:
        if kind_of_file(name) != "system":
            if suffix_of(name) not in TABLE_SUFFIXES or is_metadata(name):
                return False
            tables = True
    return tables


def is_shard(name: str) -> bool:
    """Whether a file is a tar archive by its name, packed or not."""
    packed = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
    return name.lower().endswith(packed) and kind_of_file(name) != "system"


def _metadata(
    tree: FileTree,
    tables: list[str],
    names: Collection[str],
    notes: list[str],
    settings: PoolSettings,
) -> tuple[dict[str, Said], list[Entry]]:
    """What the tables say by the file they name, and the rows that are inputs of their own."""
    known = set(names)
    composed: dict[str, str] = {}
    for name in names:
        composed.setdefault(unicodedata.normalize("NFC", name), name)
    rows: dict[str, Said] = {}
    leftover: list[Entry] = []
    most = settings.max_inputs
    for table_name in tables:
        reason, detail = tree.refused(table_name)
        if not reason:
            try:
                table = Table(Path(table_name), stream=tree.open(table_name), most_rows=most)
            except Rejected as rejected:
                reason, detail = rejected.reason, rejected.detail
        if reason:
            leftover.append(Entry(escaped(table_name), "", None, reason, detail))
            continue
        empty = True
        for row in table.rows():
            empty = False
            name, reason, detail = _named(row, posixpath.dirname(table_name), known, composed)
            caption, extra = as_text(row.values.get("caption")), row_extra(row, settings)
            if name in rows and not reason:
                # what the file's second row refuses is refused all the same
                rows[name].extra = merged_extra(rows[name].extra, extra)
                reason, detail = "repeated_row", printable(name)[:200]
            if not reason:
                rows[name] = Said(caption, extra, problem=row.problem)
                continue
            place = f"{escaped(table_name)}#{row.number}"
            leftover.append(Entry(place, caption, None, reason, detail, extra))
        if (table.named or not empty) and "file_name" not in table.columns:
            raise PoolError(
                f"The table {table_name!r} has no column of file names: call it one of "
                f"{', '.join(COLUMNS['file_name'])}."
            )
        notes.extend(note for note in table.notes if note not in notes)
    return rows, leftover


def _named(
    row: Row, folder: str, known: Collection[str], composed: Mapping[str, str]
) -> tuple[str, str, str]:
    """The file that a row names, or a reason and detail."""
    said = as_text(row.values.get("file_name")).strip()
    if not said:
        return "", "bad_row", row.problem or "names no file"
    shown = printable(said)[:200]
    if re.match(r"^[/\\]|^[A-Za-z]:[\\/]", said) or "\0" in said:
        return "", "outside_path", shown
    for spelled in dict.fromkeys((said, said.replace("\\", "/"))):  # a name, or Windows' path
        name = posixpath.normpath(posixpath.join(folder, spelled))
        if name == ".." or name.startswith("../"):
            return "", "outside_path", shown
        if name in known:
            return name, "", ""
        if found := composed.get(unicodedata.normalize("NFC", name)):
            return found, "", ""
    return "", *(("bad_row", row.problem) if row.problem else ("missing_file", shown))
