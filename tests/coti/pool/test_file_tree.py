"""Copies of a store's objects."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem

from coti.core.errors import PoolError
from coti.pool.file_tree import FileTree


class Store(AbstractFileSystem):  # type: ignore[misc]
    """Objects by keys that are plain texts, as a bucket has them."""

    cachable = False

    def __init__(self, objects: dict[str, bytes], missing: int = 0) -> None:
        super().__init__()
        self.objects, self.missing = objects, missing

    def find(self, path: str, **_: Any) -> dict[str, dict[str, Any]]:  # type: ignore[override]
        """Everything below a prefix."""
        return {
            path + key: {"type": "file", "size": len(data)} for key, data in self.objects.items()
        }

    def open(self, path: str, *_: Any, **__: Any) -> io.BytesIO:
        """An object, short of what is missing."""
        data = self.objects[path.removeprefix("web/")]
        return io.BytesIO(data[: len(data) - self.missing])


def copied(folder: Path, keys: list[str], missing: int = 0) -> dict[str, bytes]:
    """What lies in the folder that objects were copied to."""
    store = Store({key: key.encode() for key in keys}, missing)
    FileTree("web", store).copy_all(folder)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_objects_are_copied_to_their_places(tmp_path: Path) -> None:
    """Each key is a file."""
    assert copied(tmp_path, ["a.png", "b/c.png"]) == {"a.png": b"a.png", "b/c.png": b"b/c.png"}


@pytest.mark.parametrize(
    "keys", [["a", "a/b"], ["a//b.png", "a/b.png"], ["a/./b.png", "a/b.png"], ["a.b/c", "a.b"]]
)
def test_keys_that_no_folder_can_hold_are_named(tmp_path: Path, keys: list[str]) -> None:
    """Nothing is written over another object, and no object is lost."""
    with pytest.raises(PoolError, match=r"keys '[^']+' and '[^']+' cannot both .*rename one\.$"):
        copied(tmp_path, keys)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_leaves_the_prefix_is_named(tmp_path: Path) -> None:
    """Nothing is written outside of the copy."""
    with pytest.raises(PoolError, match=r"'\.\./a\.png' leaves the prefix"):
        copied(tmp_path / "copy", ["../a.png"])


def test_a_copy_is_as_long_as_it_was_listed(tmp_path: Path) -> None:
    """An answer that was cut short is no object."""
    with pytest.raises(PoolError, match=r"a\.png' cannot be read \(4 of 5 bytes\): run again"):
        copied(tmp_path, ["a.png"], missing=1)
