"""State of the whole process that several threads want changed at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock

__all__ = ["entered_once"]


def entered_once(
    change: Callable[[], AbstractContextManager[None]],
) -> Callable[[], AbstractContextManager[None]]:
    """The change is made by the first thread that comes inside and undone by the last that leaves.

    Each on its own, two that overlap undo it while the other is inside, and leave behind what the
    second one found: the change itself, for good.
    """
    lock, stack, inside = Lock(), ExitStack(), 0

    @contextmanager
    def shared() -> Iterator[None]:
        nonlocal inside
        with lock:
            if not inside:
                stack.enter_context(change())
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if not inside:
                    stack.close()

    return shared
