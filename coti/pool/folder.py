"""A folder of images, with captions in sidecar files or a ``metadata`` table beside them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from coti.pool.layout import SIDECAR_LIMIT, tree_entries
from coti.pool.sources import Entry, hash_files, read_bounded
from coti.settings import PoolSettings

__all__ = ["FolderSource", "files_below"]


class FolderSource:
    """Images in a folder and below it; links that leave it are not followed."""

    kind = "folder"

    def __init__(self, path: Path, settings: PoolSettings) -> None:
        self._root, self._settings = path, settings
        self.notes: list[str] = []

    def fingerprint(self) -> str:
        """Hash of every file's name and bytes."""
        return hash_files(self._root, files_below(self._root))

    def entries(self) -> Iterator[Entry]:
        """Every file but sidecars and tables, then the table rows without a file."""
        yield from tree_entries(self, str(self._root), self._settings.caption_language)

    def names(self) -> list[str]:
        """All files, relative to the folder."""
        return [path.relative_to(self._root).as_posix() for path in files_below(self._root)]

    def refused(self, name: str) -> tuple[str, str]:
        """Reason and detail where a path is not a regular file inside the folder."""
        path = self._root / name
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                target = path.resolve(strict=True)
                if not target.is_relative_to(self._root.resolve()):
                    return "outside_path", "a link that leaves the pool"
                mode = target.stat().st_mode
        except FileNotFoundError:
            return "not_regular", "a link to nowhere"
        except (OSError, RuntimeError) as error:
            return "unreadable", type(error).__name__
        return ("", "") if stat.S_ISREG(mode) else ("not_regular", "not a regular file")

    def reader(self, name: str) -> Callable[[], bytes]:
        """What reads the file when its turn comes."""
        return partial(read_bounded, self._root / name, self._settings.max_bytes)

    def small(self, name: str) -> bytes:
        """A caption file."""
        return read_bounded(self._root / name, SIDECAR_LIMIT)

    def local(self, name: str) -> Path:
        """A table's path."""
        return self._root / name


def files_below(root: Path) -> list[Path]:
    """Everything below ``root`` that is not a folder, by folder and name.

    Links to folders count as files, so that they are not entered but still accounted for.
    """
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        found.extend(Path(folder, name) for name in names)
        found.extend(Path(folder, name) for name in folders if Path(folder, name).is_symlink())
    return sorted(found, key=lambda path: path.relative_to(root).parts)
