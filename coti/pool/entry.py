"""One input of a pool, and what a source of inputs must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from coti.settings import PoolSettings

__all__ = ["Entry", "PoolSource"]


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
