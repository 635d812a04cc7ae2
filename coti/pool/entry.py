"""One input of a pool, and what a source of inputs must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from coti.settings import PoolSettings

__all__ = ["CountedSource", "Entry", "PickingSource", "PoolSource", "RangedSource"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One input: a file, an object, a shard's member, a table's row."""

    name: str
    """Relative to the source, printable; another one for each input."""
    caption: str = ""
    """As it came."""
    read: Callable[[], bytes] | None = None
    """The bytes; raises :class:`coti.pool.reasons.Rejected` where they cannot be had. Called from
    several threads."""
    reason: str = ""
    """A reason code where there is nothing to read."""
    detail: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the table says: ``url``, ``similarity``, ``punsafe``, ``pwatermark``, ``license`` …;
    ``opt_out`` is how the owner refuses, and missing or empty where he does not."""
    file: str = ""
    """The file or object of the source that holds it, relative to the source."""
    member: str = ""
    """Its name in that archive, its row in that table; empty where the file is the input itself."""
    offset: int = 0
    """Bytes before it in an archive that is read in place."""
    mask: str = ""
    """Name of the image's mask beside it, where there is one."""
    read_mask: Callable[[], bytes] | None = None
    """As ``read``."""


class PoolSource(Protocol):
    """A pool that can be listed, read and fingerprinted; never skips an input."""

    kind: str
    """What the source was taken for, as it is shown."""
    notes: list[str]
    """What a reader of the report should know about the source as a whole."""

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        """Raises :class:`coti.core.errors.PoolError` where ``source`` is no pool of this kind.

        ``cache_dir`` keeps what is fetched, so that a broken run goes on; without it what is
        fetched lasts as long as the source.
        """
        ...

    @classmethod
    def claims(cls, source: str) -> bool:
        """Whether ``source`` looks like one of this kind; cheap, reads a table's row at most."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Every input, in an order that the content alone decides; what cannot be read, too."""
        ...

    def fingerprint(self) -> str:
        """Hash of names and content: the same on every machine, another one once it changes."""
        ...


@runtime_checkable
class PickingSource(Protocol):
    """A source that can give some of its inputs for less than all of them."""

    def some(self, names: Collection[str]) -> Iterator[Entry]:
        """The entries of these names, in the order of :meth:`PoolSource.entries`."""
        ...


@runtime_checkable
class RangedSource(Protocol):
    """A source far away that can give a part of a file for less than the file."""

    def part(self, file: str, offset: int, size: int) -> bytes:
        """Bytes of a file, by an entry's ``file`` and ``offset``; fewer, where it has no more.

        Raises :class:`coti.pool.reasons.Rejected`.
        """
        ...


@runtime_checkable
class CountedSource(Protocol):
    """A source that knows how many inputs it has, or nearly, before it reads one."""

    def count(self) -> int:
        """For a bar's remaining time; 0 where it is not known."""
        ...
