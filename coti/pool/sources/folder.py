"""A folder of images, with captions in sidecar files or a ``metadata`` table beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coti.core.errors import PoolError
from coti.pool.entry import Entry
from coti.pool.file_tree import FileTree
from coti.pool.layout import tree_entries
from coti.pool.local_files import existing, hash_files
from coti.settings import PoolSettings

__all__ = ["FolderSource"]


class FolderSource:
    """Images in a folder and below it; links that leave it are not followed."""

    kind = "folder"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        self._root, self._settings = existing(source), settings
        if not self._root.is_dir():
            raise PoolError(f"The pool {source!r} is a single file: give a folder of images.")
        self._tree = FileTree(self._root)
        self.notes: list[str] = []

    @classmethod
    def claims(cls, source: str) -> bool:
        """Any folder."""
        return Path(source).expanduser().is_dir()

    def fingerprint(self) -> str:
        """Hash of every file's name and bytes."""
        return hash_files(self._root, [self._root / name for name in self._tree.listed])

    def entries(self) -> Iterator[Entry]:
        """Every file but sidecars and tables, then the table rows without a file."""
        yield from tree_entries(self._tree, str(self._root), self._settings, self.notes)
