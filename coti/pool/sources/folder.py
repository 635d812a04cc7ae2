"""A folder of images, with captions in sidecar files or a ``metadata`` table beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coti.core.errors import PoolError
from coti.core.file_rules import user_path
from coti.pool.entry import Entry
from coti.pool.file_tree import FileTree
from coti.pool.layout import expected, is_shard, tree_entries
from coti.pool.local_files import existing
from coti.settings import PoolSettings

__all__ = ["FolderSource"]


class FolderSource:
    """Images in a folder and below it; links that leave it are not followed."""

    kind = "folder"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        path, self._said, self._settings = existing(source), source, settings
        if path.is_dir():
            self._tree = FileTree(path)
        elif is_shard(path.name):
            self._tree = FileTree(path.parent, only=path.name)
        else:
            raise PoolError(f"The pool {source!r} is a single file: give a folder of images.")
        self.notes: list[str] = []

    @classmethod
    def claims(cls, source: str) -> bool:
        """Any folder."""
        return user_path(source).is_dir()

    def fingerprint(self) -> str:
        """Hash of every file's name and bytes; of those that were read, as they were then."""
        return self._tree.fingerprint()

    def count(self) -> int:
        """Images by their names."""
        return expected(self._tree.listed)

    def entries(self) -> Iterator[Entry]:
        """Every file but sidecars and tables, then the table rows without a file."""
        yield from tree_entries(self._tree, self._said, self._settings, self.notes)
