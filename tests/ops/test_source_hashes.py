from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from zenml.utils import source_code_utils

from materializers.image_mosaic import ImageSetMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.source_hashes import hash_sources_once


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Begin and end of every hashing, under a fresh guard."""
    original = source_code_utils.get_hashed_source_code
    seen: list[Any] = []

    def slow(value: Any) -> str:
        seen.append(("begin", value))
        time.sleep(0.05)
        seen.append(("end", value))
        return original(value)

    monkeypatch.setattr(source_code_utils, "get_hashed_source_code", slow)
    hash_sources_once.__wrapped__()
    return seen


def test_threads_never_hash_at_once_and_each_class_once(parses: list[Any]) -> None:
    """Parsing in two threads at once is what CPython fails at."""
    classes = [ImageSetMaterializer, TensorBundleMaterializer] * 4
    with ThreadPoolExecutor(4) as threads:
        found = list(
            threads.map(lambda one: source_code_utils.get_hashed_source_code(one), classes)
        )
    assert len(set(found)) == 2
    assert found[:2] * 4 == found
    begins = [value for what, value in parses if what == "begin"]
    # Two threads may ask for the same class before either has its hash: one after the other.
    assert set(begins) == set(classes)
    assert [what for what, _ in parses] == ["begin", "end"] * len(begins)
