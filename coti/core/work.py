"""What a run's time goes with, told where it is done: how many of what took how long.

Nobody listens to a run, which then is timed nowhere. A rehearsal does, and says from a few of each
how long all will take.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Work", "heard", "told", "working"]


T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """Something that was done at once."""

    kind: str
    """Such as ``optimizer step``; work of one kind is alike, and only differs in how much it is."""
    count: int
    """How many at once: images of a batch, mostly."""
    seconds: float
    processor: float
    """Seconds of processors, all threads together: as many whatever else the machine does."""


_listeners: list[Callable[[Work], None]] = []


@contextmanager
def working(kind: str, count: int) -> Iterator[None]:
    """Around ``count`` of ``kind`` that are done at once."""
    if not _listeners:
        yield
        return
    _wait_for_the_device()
    began = _now()
    yield
    _wait_for_the_device()
    _tell(kind, count, began)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _tell(kind: str, count: int, began: tuple[float, float]) -> None:
    seconds, processor = (after - before for after, before in zip(_now(), began, strict=True))
    done = Work(kind, count, seconds, processor)
    for listener in list(_listeners):
        listener(done)


def told(kind: str, items: Iterable[T]) -> Iterator[T]:
    """The items; told of is the time from the first to the last, since who makes them has to begin
    once, and their number without it."""
    if not _listeners:
        yield from items
        return
    count, began = -1, (0.0, 0.0)
    for item in items:
        count += 1
        if count == 0:
            began = _now()
        yield item
    if count > 0:
        _tell(kind, count, began)


@contextmanager
def heard(listener: Callable[[Work], None]) -> Iterator[None]:
    """Have ``listener`` told of all work inside, by whichever thread does it.

    >>> found = []
    >>> with heard(found.append), working("image", 3):
    ...     pass
    >>> [(work.kind, work.count) for work in found]
    [('image', 3)]
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _wait_for_the_device() -> None:
    """A GPU is still at work when a call comes back."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.accelerator.is_available():
        torch.accelerator.synchronize()
