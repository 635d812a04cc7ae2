"""Which kinds of pools there are: a lazy dictionary, the classes are imported when needed."""

from __future__ import annotations

from coti.settings._base import require

__all__ = ["POOL_SOURCES", "register_source", "require_kind"]

POOL_SOURCES = {
    "folder": "coti.pool.sources.folder:FolderSource",
    "url_table": "coti.pool.sources.url_table:UrlTableSource",
    "webdataset": "coti.pool.sources.tar_shards:WebDatasetSource",
    "img2dataset": "coti.pool.sources.img2dataset:Img2DatasetSource",
    "s3": "coti.pool.sources.object_store:S3Source",
}
"""Kind -> ``module:Class`` of a :class:`coti.pool.entry.PoolSource`; the last one is asked first
whether a pool is of its kind."""


def register_source(kind: str, target: str) -> None:
    """Add a kind of pool from outside, for this process; it is asked before those known.

    Args:
        kind: its name in ``pool.kind``.
        target: ``module:Class`` of a :class:`coti.pool.entry.PoolSource`.
    """
    require(":" in target, f"The pool source {kind!r} is {target!r}: write module:Class.")
    POOL_SOURCES.pop(kind, None)
    POOL_SOURCES[kind] = target


def require_kind(kind: str) -> None:
    """Raise ConfigError unless ``kind`` is ``auto``, known, or a ``module:Class``."""
    require(
        kind == "auto" or kind in POOL_SOURCES or ":" in kind,
        f"pool.kind is {kind!r}: auto, {', '.join(POOL_SOURCES)}, or module:Class of your own.",
    )
