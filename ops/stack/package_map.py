"""Which package a module belongs to, looked up once.

ZenML asks for the map of all installed packages at every artifact it stores, which reads the file
list of each of them: some 0.2 s. They don't change while a pipeline runs.
"""

from __future__ import annotations

import importlib.metadata
from functools import cache

__all__ = ["remember_packages"]


def remember_packages() -> None:
    """Let the standard library's ``packages_distributions`` remember its answer; harmless twice."""
    found = importlib.metadata.packages_distributions
    if not hasattr(found, "cache_clear"):
        importlib.metadata.packages_distributions = cache(found)
