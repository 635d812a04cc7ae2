"""WebDataset tar shards: samples are members with the same key, read in place, never unpacked."""

from __future__ import annotations

import os
from pathlib import Path

from coti.core.errors import PoolError
from coti.core.file_rules import user_path
from coti.pool.layout import is_shard
from coti.pool.sources.folder import FolderSource
from coti.settings import PoolSettings

__all__ = ["WebDatasetSource"]


class WebDatasetSource(FolderSource):
    """A ``.tar`` file or a folder with some: images with captions beside them.

    What else lies in the folder is read as in any folder.
    """

    kind = "webdataset"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        super().__init__(source, settings, cache_dir)
        if not any(map(is_shard, self._tree.listed)):
            raise PoolError(f"The pool {source!r} has no .tar shards.")

    @classmethod
    def claims(cls, source: str) -> bool:
        """A ``.tar`` file, or a folder with one somewhere in it."""
        path = user_path(source)
        if path.is_dir():
            return any(is_shard(name) for _, _, names in os.walk(path) for name in names)
        return path.is_file() and is_shard(path.name)
