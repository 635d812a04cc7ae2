"""One file for every kind of pool: a folder, tar shards, a table of URLs, S3, img2dataset's output.

Another kind is one more class of :class:`coti.pool.entry.PoolSource` and one line in
:data:`coti.settings.pool_sources.POOL_SOURCES`, or outside of this package a call of
:func:`coti.pool.register_source`.
"""
