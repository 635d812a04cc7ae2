"""What people decided of images: append-only rows beside a set, and the last word of them.

A folder ``review`` has a Parquet file a writer, and a writer rewrites its own file alone, whole:
people who decide at once, on one machine or on a shared disk, lose nothing. What holds is the union
of the files; of several decisions of one kind on one image, the last.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.errors import ConfigError, StoreError
from coti.core.file_rules import FileRefused, read_inside, user_path
from coti.core.whole_files import whole_file
from coti.scores.formulas import TOP

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "KINDS",
    "REVIEW",
    "Decision",
    "Review",
    "ReviewWriter",
    "last_word",
    "read_decisions",
    "read_review",
    "review_folder",
]

REVIEW = "review"
"""The folder's name, in that of the set."""
KINDS = {
    "keep": "verdict",
    "drop": "verdict",
    "undecided": "verdict",
    "rating": "rating",
    "caption": "caption",
}
"""What can be decided, and of what kind that is: the last of a kind holds. ``undecided`` takes a
verdict back, an empty value a rating or a caption."""

_COLUMNS = ("image", "who", "when", "what", "value")
_LARGEST = 100_000_000
"""Bytes of a writer's file."""
_UNPACKED = (64_000_000, 100)
"""Bytes that it may unpack to: so many, and so many times its own size more."""
_LONGEST = {"who": 200, "value": 10_000}
_IMAGE = re.compile(r"[0-9a-f]{64}")
_SMALLEST = timedelta(microseconds=1)


@dataclass(frozen=True, order=True)
class Decision:
    """One row; by time, and where two are of one moment in an order that is everybody's.

    Raises:
        ConfigError: it is none; says what is wrong with it.
    """

    when: datetime
    """UTC."""
    who: str
    what: str
    """Of :data:`KINDS`."""
    value: str
    """A rating's number, 0 to 10, or a caption's text; empty of a verdict."""
    image: str
    """sha256 of its file, 64 hexadecimal digits, as a manifest has it."""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ConfigError(f"a decision's {problem}.")

    @property
    def kind(self) -> str:
        """``verdict``, ``rating`` or ``caption``."""
        return KINDS[self.what]


def _problem(row: Decision) -> str:
    """What is wrong with a row; empty where nothing is."""
    if not _IMAGE.fullmatch(row.image):
        return f"image {row.image[:80]!r} is no sha256 of 64 hexadecimal digits"
    if row.what not in KINDS:
        return f"what {row.what[:80]!r} is none of {', '.join(KINDS)}"
    for name, most in _LONGEST.items():
        if len(getattr(row, name)) > most:
            return f"{name} has more than {most} characters"
    if row.when.tzinfo is None:
        return f"when {row.when} has no time zone"
    if KINDS[row.what] == "verdict" and row.value:
        return f"value {row.value[:80]!r} is of a verdict, which has none"
    if row.what == "rating" and row.value and not 0 <= _number(row.value) <= TOP:
        return f"value {row.value[:80]!r} is no rating from 0 to {TOP:g}"
    return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Review:
    """The last word on each image, by its sha256."""

    verdicts: Mapping[str, str] = field(default_factory=dict)
    """``keep`` or ``drop``; what is undecided is left out."""
    ratings: Mapping[str, float] = field(default_factory=dict)
    """0 to 10."""
    captions: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> set[str]:
        """All that anything holds of."""
        return {*self.verdicts, *self.ratings, *self.captions}

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def fingerprint(self) -> str:
        """Hash of what holds, whoever said it, when and where: sha256."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()


def last_word(decisions: Iterable[Decision]) -> Review:
    """What holds of decisions in any order.

    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> first = Decision(noon, "ann", "drop", "", 64 * "a")
    >>> last_word([Decision(noon + _SMALLEST, "bob", "keep", "", 64 * "a"), first]).verdicts
    {'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': 'keep'}
    """
    last: dict[tuple[str, str], Decision] = {}
    for each in sorted(decisions):
        last[each.image, each.kind] = each
    rows = sorted(last.items())
    verdicts = {
        image: row.what
        for (image, kind), row in rows
        if kind == "verdict" and row.what != "undecided"
    }
    said = {(image, kind): row.value for (image, kind), row in rows if row.value}
    return Review(
        verdicts=verdicts,
        ratings={image: float(text) for (image, kind), text in said.items() if kind == "rating"},
        captions={image: text for (image, kind), text in said.items() if kind == "caption"},
    )


def review_folder(path: str | Path) -> Path:
    """Where the decisions of a set lie, or the folder itself where it is that already.

    Raises:
        ConfigError: there is no such folder.
    """
    folder = user_path(path)
    if not folder.is_dir():
        raise ConfigError(
            f"selection.review: {folder} is no folder: give a set that was reviewed, or its folder "
            f"{REVIEW}."
        )
    inside = folder / REVIEW
    return inside if inside.is_dir() else folder


def read_review(path: str | Path) -> Review:
    """The last word of a reviewed set, or of its folder of decisions.

    Raises:
        ConfigError: there is no such folder, or nothing was decided there.
        StoreError: a file in it cannot be used.
    """
    folder = review_folder(path)
    found = last_word(read_decisions(folder))
    if not found.images:
        raise ConfigError(
            f"selection.review: {folder} holds no decision that stands: review the set with `coti "
            "review`, or leave the setting out."
        )
    return found


def read_decisions(folder: Path) -> list[Decision]:
    """All that was ever decided there, by time; none where there is no such folder.

    Raises:
        StoreError: a file in it cannot be read, is damaged, or is of another release.
    """
    return sorted(row for name in _files(folder) for row in _rows(folder, name))


def _files(folder: Path) -> list[str]:
    try:
        return sorted(
            each.name
            for each in os.scandir(folder)
            if each.name.endswith(".parquet") and not each.name.startswith(".")
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read ({error.strerror}): mend its rights.") from error


def _rows(folder: Path, name: str) -> list[Decision]:
    import pyarrow as pa

    try:
        table = _table(read_inside(folder, name, _LARGEST))
        return [Decision(**{key: row[key] for key in _COLUMNS}) for row in table.to_pylist()]
    except (FileRefused, OSError, pa.ArrowException, ValueError, ConfigError) as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise StoreError(
            f"{folder / name} is no file of decisions ({said}): restore it, or move it away to go "
            "without."
        ) from error


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(_COLUMNS, pa.string()) | {"when": pa.timestamp("us", tz="UTC")}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def _table(data: bytes) -> pa.Table:
    """Looked at before anything is unpacked. Raises ValueError and what pyarrow does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(data)) as file:
        found, wanted = file.schema_arrow, _schema()
        if found.names != wanted.names:
            names = ", ".join(map(str, found.names))[:100]
            raise ValueError(f"its columns are {names} in place of {', '.join(wanted.names)}")
        if found.types != wanted.types:
            kinds = ", ".join(map(str, found.types))[:100]
            raise ValueError(f"its columns are of the types {kinds}")
        if file.metadata.num_rows > len(data):
            raise ValueError(f"it claims {file.metadata.num_rows} rows in {len(data)} bytes")
        groups = [file.metadata.row_group(each) for each in range(file.metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > _UNPACKED[0] + _UNPACKED[1] * len(data):
            raise ValueError(f"it unpacks to {unpacked} bytes from {len(data)}")
        table = file.read().replace_schema_metadata(None)
    table.validate(full=True)  # text that is no UTF-8
    if any(column.null_count for column in table.columns):
        raise ValueError("a cell is empty")
    return table


class ReviewWriter:
    """Appends decisions of one sitting to a file of its own; several threads may.

    A decision is on the disk when :meth:`decide` returns. It is later than all that was known when
    it was made, however the clocks of two machines differ.
    """

    def __init__(
        self,
        folder: Path,  # made with the first decision
        who: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """No file is written before there is a decision."""
        self._folder, self.who, self._now = folder, who, now
        self._name = f"{now():%Y%m%dT%H%M%S}-{secrets.token_hex(8)}.parquet"
        self._own: list[Decision] = []
        self._lock = threading.Lock()

    def decide(
        self, image: str, what: str, value: str = "", after: datetime | None = None
    ) -> Decision:
        """Append one; ``after``: the last decision that was known.

        Raises:
            ConfigError: it is no decision.
            StoreError: it cannot be written; nothing has changed then.
        """
        with self._lock:
            known = [each for each in (after, self._own[-1].when if self._own else None) if each]
            when = max([self._now(), *(each + _SMALLEST for each in known)])
            row = Decision(when=when, who=self.who, what=what, value=value, image=image)
            self._write([*self._own, row])
            self._own.append(row)
            return row

    def _write(self, rows: list[Decision]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._folder / self._name
        columns = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
        try:
            with whole_file(path) as part:
                pq.write_table(pa.table(columns, schema=_schema()), part)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written ({error.strerror or error}): free space, or mend the "
                "rights of the folder."
            ) from error
