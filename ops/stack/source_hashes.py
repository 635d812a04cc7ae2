"""ZenML hashes the source of an output's materializer for every step that it starts, and starts
steps in several threads. Python parses for it, and two threads that parse at once can end a run
with "AST constructor recursion depth mismatch" (python/cpython#106905; seen on 3.11.7, where all
runs of a sweep came from the cache at once)."""

from __future__ import annotations

import functools
import threading
from typing import Any

from zenml.utils import source_code_utils

__all__ = ["hash_sources_once"]


@functools.cache
def hash_sources_once() -> None:
    """Have ZenML hash each class once, one thread at a time. Calling it again does nothing."""
    original, lock = source_code_utils.get_hashed_source_code, threading.Lock()

    @functools.cache
    def hashed(value: Any) -> str:
        with lock:
            return original(value)

    source_code_utils.get_hashed_source_code = hashed
