"""Settings of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Property tests say what must hold, not how fast: a busy machine must not fail them.
settings.register_profile("coti", deadline=None)
settings.load_profile("coti")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first: no process is left alone with one while others are idle."""
    longest: dict[str, int] = {}
    for item in items:
        length = sum(item.get_closest_marker(name) is not None for name in ("slow", "e2e"))
        longest[str(item.path)] = max(length, longest.get(str(item.path), 0))
    items.sort(key=lambda item: -longest[str(item.path)])
