"""Files of this machine: found, hashed and read within bounds."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coti.core.errors import PoolError
from coti.pool.reasons import Rejected

__all__ = ["existing", "hash_files", "read_bounded", "temporary_folder"]


def existing(source: str) -> Path:
    """The path of a pool on this machine; :class:`PoolError` where there is none."""
    path = Path(source).expanduser()
    if not path.exists():
        raise PoolError(
            f"The pool {source!r} does not exist: give a folder of images, tar shards, "
            "a table of URLs, or an s3:// prefix."
        )
    return path


def hash_files(root: Path, paths: Iterable[Path]) -> str:
    """sha256 over the relative names and contents of ``paths``, which must be sorted."""

    def one(path: Path) -> bytes:
        relative = path.relative_to(root).as_posix().encode(errors="surrogateescape")
        digest = hashlib.sha256(len(relative).to_bytes(8, "big") + relative)
        try:
            if path.is_file():
                with path.open("rb") as stream:
                    digest.update(b"file" + hashlib.file_digest(stream, "sha256").digest())
            else:
                digest.update(b"no regular file")
        except OSError:
            digest.update(b"unreadable")
        return digest.digest()

    total = hashlib.sha256(b"coti pool 1")
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(one, paths, chunksize=64):
            total.update(part)
    return total.hexdigest()


def temporary_folder(owner: object, prefix: str) -> Path:
    """A new folder that goes when ``owner`` does."""
    folder = tempfile.mkdtemp(prefix=prefix)
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def read_bounded(path: Path, largest: int, *, offset: int = 0, size: int | None = None) -> bytes:
    """A regular file's bytes, or a part of them; :class:`Rejected` where that fails."""
    if size is not None and size > largest:
        raise Rejected("file_too_large", f"{size} bytes")
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(largest + 1 if size is None else size)
    except FileNotFoundError as error:
        raise Rejected("vanished", "gone since it was listed") from error
    except OSError as error:
        raise Rejected("unreadable", error.strerror or type(error).__name__) from error
    if size is None and len(data) > largest:
        raise Rejected("file_too_large", f"more than {largest} bytes")
    if size is not None and len(data) < size:
        raise Rejected("broken_shard", f"{len(data)} of {size} bytes are there")
    return data
