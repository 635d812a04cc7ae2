"""As many processor threads as a run asks for: float32 sums depend on how many there are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import ParamSpec, TypeVar

import torch

__all__ = ["on_its_threads", "processor_threads"]

P = ParamSpec("P")
R = TypeVar("R")

_lock = Lock()
_inside = 0
_before = 1
_own = local()


@contextmanager
def processor_threads(count: int) -> Iterator[None]:
    """Torch computes with ``count`` threads inside, and as before once all have left.

    Steps of one run may be inside at once, in Python threads of one process: they ask for the same
    number. 0 changes nothing.

    >>> with processor_threads(2):
    ...     torch.get_num_threads()
    2
    """
    global _inside, _before
    if not count:
        yield
        return
    depth = getattr(_own, "depth", 0)
    with _lock:
        if not _inside:
            _before = torch.get_num_threads()
        _inside += 1
        # A new thread starts with the number that another one has just set.
        outside = torch.get_num_threads() if depth else _before
    _own.depth = depth + 1
    torch.set_num_threads(count)
    try:
        yield
    finally:
        _own.depth = depth
        with _lock:
            _inside -= 1
        torch.set_num_threads(outside)


def on_its_threads(function: Callable[P, R]) -> Callable[P, R]:
    """The function, computing with the threads that its argument ``settings`` says."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def computed(*given: P.args, **named: P.kwargs) -> R:
        settings = signature.bind(*given, **named).arguments["settings"]
        with processor_threads(settings.threads):
            return function(*given, **named)

    return computed
