"""One file for every kind of pool: a folder, tar shards, a table of URLs, S3, img2dataset's output.

Another kind is one more class of :class:`coti.pool.entry.PoolSource` and one line here, or from
outside ``POOL_SOURCES.register("zip", "my_package.zips:ZipSource")``.
"""

from __future__ import annotations

from coti.core.registry import Registry
from coti.pool.entry import PoolSource

__all__ = ["POOL_SOURCES"]

POOL_SOURCES = Registry[type[PoolSource]](
    "kind of pool",
    {
        "folder": "coti.pool.sources.folder:FolderSource",
        "url_table": "coti.pool.sources.url_table:UrlTableSource",
        "webdataset": "coti.pool.sources.tar_shards:WebDatasetSource",
        "img2dataset": "coti.pool.sources.img2dataset:Img2DatasetSource",
        "s3": "coti.pool.sources.object_store:S3Source",
    },
    PoolSource,
)
"""By the name that ``pool_rules.kind`` has; the last one is asked first whether a pool is of its
kind."""
