"""An ``s3://`` prefix on any S3-compatible store, through boto3.

A prefix of images is read object by object, each whole and unchanged since it was listed, or
not at all. Where the prefix holds tar shards, tables of URLs or img2dataset's output, it is
copied once and read as the folder it is.
"""

from __future__ import annotations

import hashlib
import posixpath
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coti.core.errors import PoolError
from coti.pool.layout import SIDECAR_LIMIT, is_metadata, tree_entries
from coti.pool.reasons import Rejected
from coti.pool.sources import Entry, Source, temporary_folder
from coti.pool.url_tables import TABLE_SUFFIXES
from coti.settings import PoolSettings

__all__ = ["S3Source"]

_ATTEMPTS = 5
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "ExpiredToken")
_COPY_LIMIT = 1 << 40


class S3Source:
    """Objects below ``s3://bucket/prefix``. Credentials come from the usual AWS places."""

    kind = "s3"

    def __init__(self, source: str, settings: PoolSettings) -> None:
        parts = urlsplit(source)
        self._said, self._settings = source, settings
        self._bucket, prefix = parts.netloc, parts.path.lstrip("/")
        if not self._bucket:
            raise PoolError(f"{source!r} names no bucket: write s3://bucket/prefix.")
        self._prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        self.notes: list[str] = []
        self._folder: Path | None = None
        self._listed: dict[str, tuple[int, str]] | None = None
        self._client = _client(settings)

    def fingerprint(self) -> str:
        """Hash of the objects' names, sizes and ETags, which change with the content."""
        digest = hashlib.sha256(b"coti s3 pool 1")
        for name, (size, tag) in sorted(self._objects().items()):
            digest.update(f"{len(name)}:{name}:{size}:{tag}\n".encode())
        return digest.hexdigest()

    def entries(self) -> Iterator[Entry]:
        """Like a folder's; a prefix of shards or tables is copied and read as such."""
        names = self.names()
        if any(n.endswith((".tar", "_stats.json")) for n in names) or (
            names and all(n.lower().endswith(TABLE_SUFFIXES) and not is_metadata(n) for n in names)
        ):
            copy = self._copied()
            self.kind = f"s3, {copy.kind}"
            yield from copy.entries()
            self.notes.extend(copy.notes)
            return
        yield from tree_entries(self, self._said, self._settings.caption_language)

    def names(self) -> list[str]:
        """Keys below the prefix, relative to it; a store's folder markers are no objects."""
        names = (name for name in self._objects() if name and not name.endswith("/"))
        return sorted(names, key=lambda name: name.split("/"))

    def refused(self, name: str) -> tuple[str, str]:
        """Too large objects are not asked for."""
        size = self._objects()[name][0]
        if size > self._settings.max_bytes and not is_metadata(name):
            return "file_too_large", f"{size} bytes"
        return "", ""

    def reader(self, name: str) -> Callable[[], bytes]:
        """What reads the object when its turn comes."""
        return partial(self._read, name, self._settings.max_bytes)

    def small(self, name: str) -> bytes:
        """A caption object."""
        return self._read(name, SIDECAR_LIMIT)

    def local(self, name: str) -> Path:
        """A table, copied to a temporary folder."""
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        path = self._temporary() / f"{digest}{posixpath.splitext(name)[1]}"
        path.write_bytes(self._wanted(name))
        return path

    def _objects(self) -> dict[str, tuple[int, str]]:
        """Relative name -> size and ETag, as listed once."""
        if self._listed is None:
            from botocore.exceptions import BotoCoreError, ClientError

            listed: dict[str, tuple[int, str]] = {}
            try:
                pages = self._client.get_paginator("list_objects_v2").paginate(
                    Bucket=self._bucket, Prefix=self._prefix
                )
                for page in pages:
                    for item in page.get("Contents", ()):
                        name = item["Key"][len(self._prefix) :]
                        listed[name] = (int(item["Size"]), str(item.get("ETag", "")))
            except (BotoCoreError, ClientError) as error:
                raise PoolError(self._problem(error)) from error
            if not listed:
                raise PoolError(f"There are no objects below {self._said!r}: check the prefix.")
            self._listed = listed
        return self._listed

    def _read(self, name: str, largest: int) -> bytes:
        """A whole object, the one that was listed; raises :class:`Rejected`."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        size, tag = self._objects()[name]
        if size > largest:
            raise Rejected("file_too_large", f"{size} bytes")
        said = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            try:
                return self._get(name, size, tag)
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if code in ("NoSuchKey", "404", "NotFound") or status == 404:
                    raise Rejected("vanished", "gone since it was listed") from error
                if status == 412:
                    raise Rejected("vanished", "replaced since it was listed") from error
                said = code or str(status)
                if status < 500 and status != 429:
                    break
            except (BotoCoreError, HTTPError, OSError) as error:
                said = type(error).__name__
        raise Rejected("unreadable", f"{said}, after {attempt + 1} tries")

    def _get(self, name: str, size: int, tag: str) -> bytes:
        condition = {"IfMatch": tag} if tag else {}
        answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, **condition)
        with answer["Body"] as body:
            data = bytes(body.read(size + 1))
        if len(data) != size:
            raise OSError(f"{len(data)} of {size} bytes")
        return data

    def _wanted(self, name: str) -> bytes:
        """An object without which there is no pool."""
        try:
            return self._read(name, _COPY_LIMIT)
        except Rejected as rejected:
            raise PoolError(
                f"{posixpath.join(self._said, name)!r} cannot be read ({rejected.detail}): "
                "run again."
            ) from rejected

    def _copied(self) -> Source:
        """A local copy of the whole prefix, as the source that it is."""
        from dataclasses import replace

        from coti.pool.sources import open_source

        root = self._temporary() / "copy"
        for name in self.names():
            path = root / name
            if not path.resolve().is_relative_to(root.resolve()):
                raise PoolError(f"The key {name!r} below {self._said!r} leaves the prefix.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._wanted(name))
        return open_source(str(root), replace(self._settings, kind="auto"))

    def _temporary(self) -> Path:
        if self._folder is None:
            self._folder = temporary_folder(self, "coti-s3-")
        return self._folder

    def _problem(self, error: Any) -> str:
        """One sentence on why the prefix cannot be listed."""
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
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


def _client(settings: PoolSettings) -> Any:
    """A client that retries throttling and cut connections by itself."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "max_attempts": _ATTEMPTS},
        connect_timeout=10,
        read_timeout=30,
        max_pool_connections=settings.read_threads + 8,
        user_agent_extra="coti",
    )
    try:
        # a session of our own: the shared one keeps the first credentials it finds for ever
        return boto3.session.Session().client(
            "s3", endpoint_url=settings.s3_endpoint, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise PoolError(f"No S3 client can be made ({error}): check pool.s3_endpoint.") from error
