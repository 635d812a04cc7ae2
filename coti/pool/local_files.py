"""Files of this machine: found, hashed and read within bounds."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coti.core import whole_files
from coti.core.errors import PoolError
from coti.core.file_rules import FileRefused, open_inside, user_path
from coti.pool.reasons import Rejected

__all__ = [
    "content_hash",
    "existing",
    "hash_contents",
    "read_part",
    "temporary_folder",
]


def existing(source: str) -> Path:
    """The path of a pool on this machine; :class:`PoolError` where there is none."""
    path = user_path(source)
    try:
        if path.exists():
            return path
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise PoolError(f"The pool {source!r} cannot be found: {error}.") from error
    raise PoolError(
        f"The pool {source!r} does not exist: give a folder of images, tar shards, "
        "a table of URLs, or an s3:// prefix."
    )


def hash_contents(names: Iterable[str], content: Callable[[str], bytes]) -> str:
    """sha256 over names and what ``content`` says of each: its hash, or why there is none."""

    def one(name: str) -> bytes:
        relative = name.encode(errors="surrogateescape")
        return hashlib.sha256(len(relative).to_bytes(8, "big") + relative + content(name)).digest()

    total = hashlib.sha256(b"coti pool 2")
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(one, names, chunksize=64):
            total.update(part)
    return total.hexdigest()


def content_hash(root: str | Path, name: str) -> bytes:
    """What :func:`hash_contents` takes: a file's sha256, or the reason why it is not read."""
    try:
        with open_inside(root, name) as stream:
            return b"file" + hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
    except FileRefused as refused:
        return refused.reason.encode()
    except OSError:
        return b"unreadable"


def temporary_folder(owner: object, prefix: str) -> Path:
    """A new folder that goes when ``owner`` does."""
    made = whole_files.temporary_folder(prefix)
    folder = made.__enter__()
    weakref.finalize(owner, made.__exit__, None, None, None)
    return folder


def read_part(path: Path, offset: int, size: int, largest: int) -> bytes:
    """``size`` bytes of a file that we wrote; :class:`Rejected` where they cannot be read, or are
    more than ``largest``.
    """
    if size > largest:
        raise Rejected("file_too_large", f"{size} bytes")
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size)
    except FileNotFoundError as error:
        raise Rejected("vanished", "gone since it was listed") from error
    except OSError as error:
        raise Rejected("unreadable", error.strerror or type(error).__name__) from error
    if len(data) < size:
        raise Rejected("broken_shard", f"{len(data)} of {size} bytes are there")
    return data
