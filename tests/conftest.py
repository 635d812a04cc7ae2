"""Settings of all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.warm_start import CHECKOUT, leave_writing_to_the_system

leave_writing_to_the_system()


# ZenML opens its store when a module with steps is imported. Each process of tests has one of its
# own: two that make the same one at once fail, and the checkout's is its user's.
def _folder() -> str:
    found = tempfile.mkdtemp(prefix="coti-tests-")
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return found


os.environ["ZENML_CONFIG_PATH"] = _folder()
# So has it a repository of its own: ZenML writes the active stack into the checkout's `.zen`, which
# other processes of tests read meanwhile, and which is its user's, too.
_repository = _folder()
Path(_repository, ".zen").mkdir()
_source_root = str(Path(__file__).resolve().parents[1])
os.environ.update(zip(CHECKOUT, (_repository, _source_root), strict=True))
# What processes of tests make once for all of them; the first one's, whose environment they have.
if "COTI_TESTS_SHARED" not in os.environ:
    os.environ["COTI_TESTS_SHARED"] = _folder()

# Property tests say what must hold, not how fast: a busy machine must not fail them. They draw the
# same examples everywhere, so that what passed here passes in CI; others with
# `--hypothesis-profile fresh`.
settings.register_profile("coti", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None)
settings.load_profile("coti")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first: no process is left alone with one while others are idle."""
    longest: dict[str, int] = {}
    for item in items:
        length = sum(item.get_closest_marker(name) is not None for name in ("slow", "e2e"))
        longest[str(item.path)] = max(length, longest.get(str(item.path), 0))
    items.sort(key=lambda item: -longest[str(item.path)])
