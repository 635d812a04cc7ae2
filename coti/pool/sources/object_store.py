"""An ``s3://`` prefix on any S3-compatible store, through s3fs.

A prefix of images is read object by object, each whole and unchanged since it was listed, or
not at all. Where the prefix holds tar shards, tables of URLs or img2dataset's output, it is
copied once and read as the folder it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coti.core.errors import PoolError
from coti.core.extras import install_extra
from coti.core.shown_names import escaped
from coti.pool.entry import Entry, PoolSource
from coti.pool.file_tree import FileTree, answer_of
from coti.pool.layout import are_tables, expected, is_shard, tree_entries
from coti.pool.local_files import temporary_folder
from coti.pool.open_source import open_source
from coti.pool.reasons import Rejected
from coti.settings import PoolSettings

__all__ = ["S3Source"]

_ATTEMPTS = 5
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "ExpiredToken")


class S3Source:
    """Objects below ``s3://bucket/prefix``. Credentials come from the usual AWS places."""

    kind = "s3"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        parts = urlsplit(source)
        self._said, self._settings = source, settings
        self._bucket = parts.netloc
        if not self._bucket or "@" in self._bucket:
            raise PoolError(
                f"{source!r} names no bucket: write s3://bucket/prefix; the key belongs into "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        self.notes: list[str] = []
        self._copy: PoolSource | None = None
        try:
            self._tree = FileTree(f"{parts.netloc}{parts.path}", _file_system(settings))
        except Exception as error:  # of s3fs, botocore and aiohttp
            raise PoolError(self._problem(error)) from error
        if not self._tree.listed:
            raise PoolError(f"There are no objects below {source!r}: check the prefix.")

    @classmethod
    def claims(cls, source: str) -> bool:
        """An ``s3://`` address."""
        return source.startswith("s3://")

    def fingerprint(self) -> str:
        """Hash of the objects' names, sizes and ETags, which change with the content."""
        digest = hashlib.sha256(b"coti s3 pool 1")
        for name, info in sorted(self._tree.listed.items()):
            line = f"{len(name)}:{name}:{info['size']}:{info.get('ETag', '')}\n"
            digest.update(line.encode())
        return digest.hexdigest()

    def part(self, file: str, offset: int, size: int) -> bytes:
        """Of an object, without the rest of it; raises :class:`Rejected`."""
        for name in self._tree.listed:
            if escaped(name) == file:
                return self._tree.part(name, offset, size)
        raise Rejected("missing_file", file)

    def count(self) -> int:
        """Images by their keys; 0 where the prefix holds something else."""
        names = self._tree.listed
        return 0 if are_tables(names) else expected(names)

    def entries(self) -> Iterator[Entry]:
        """Like a folder's; a prefix of shards or tables is copied and read as such."""
        names = list(self._tree.listed)
        if are_tables(names) or any(is_shard(n) or n.endswith("_stats.json") for n in names):
            copy = self._copy = self._copy or self._copied()
            self.kind = f"s3, {copy.kind}"
            yield from copy.entries()
            self.notes.extend(copy.notes)
            return
        yield from tree_entries(self._tree, self._said, self._settings, self.notes)

    def _copied(self) -> PoolSource:
        """A local copy of the whole prefix, as the source that it is."""
        root = temporary_folder(self, "coti-s3-") / "copy"
        self._tree.copy_all(root)
        return open_source(str(root), replace(self._settings, kind="auto"))

    def _problem(self, error: BaseException) -> str:
        """One sentence on why the prefix cannot be listed."""
        code = answer_of(error)[0]
        where = f" at {self._settings.s3_endpoint}" if self._settings.s3_endpoint else ""
        if code in ("NoSuchBucket", "404"):
            return f"There is no bucket {self._bucket!r}{where}: check the name and the endpoint."
        if code in _REFUSED:
            return (
                f"The store{where} refuses to list {self._said!r} ({code}): check "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the bucket's policy."
            )
        name = type(error).__name__
        if "Credential" in name:
            return (
                f"There are no credentials to list {self._said!r} with: set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY, or a profile."
            )
        said = code or f"{name}: {' '.join(str(error).split())[:160]}"
        return f"{self._said!r} cannot be listed{where} ({said}): check endpoint and network."


def _file_system(settings: PoolSettings) -> Any:
    """A file system that asks again where the store throttles or a connection is cut."""
    try:
        import s3fs
    except ImportError as error:
        raise PoolError(f"s3fs is not installed: {install_extra('pool')}.") from error

    files = s3fs.S3FileSystem(
        endpoint_url=settings.s3_endpoint,
        config_kwargs={
            "retries": {"mode": "standard", "max_attempts": _ATTEMPTS},
            "connect_timeout": 10,
            "read_timeout": 30,
            "max_pool_connections": settings.read_threads + 8,
            "user_agent_extra": "coti",
        },
        # a session of our own: the shared one keeps the first credentials it finds for ever
        skip_instance_cache=True,
    )
    files.retries = _ATTEMPTS
    return files
