"""Files below a folder or below a store's prefix: listed once, each read whole or not at all.

One reader for both, on fsspec. A link must stay inside the folder; an object must be the one that
was listed (its ETag goes along with the request).
"""

from __future__ import annotations

import errno
import hashlib
import posixpath
import shutil
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from coti.core.errors import PoolError
from coti.pool.local_files import temporary_folder
from coti.pool.reasons import Rejected

__all__ = ["FileTree", "answer_of", "files_below"]


class FileTree:
    """Files by their name relative to ``root``, ``/`` between folders.

    Links count as files, so that a linked folder is not entered but still accounted for; a
    store's folder markers are no objects.
    """

    def __init__(self, root: str | Path, files: fsspec.AbstractFileSystem | None = None) -> None:
        self._files = files or LocalFileSystem()
        self._root = f"{root if files else Path(root).absolute()}".rstrip("/") + "/"
        self._copies: Path | None = None
        found = self._files.find(self._root, detail=True).items()
        listed = {name[len(self._root) :]: info for name, info in found if name[-1] != "/"}
        listed.pop("", None)
        self.listed: dict[str, dict[str, Any]] = {
            name: listed[name] for name in sorted(listed, key=lambda name: name.split("/"))
        }
        """What the file system says of each file, by folder and name."""

    def refused(self, name: str, largest: int | None = None) -> tuple[str, str]:
        """Reason and detail where a file must not be read, else two empty strings."""
        info = self.listed[name]
        if info.get("islink"):
            return self._link_refused(name)
        if info["type"] != "file":
            return "not_regular", "not a regular file"
        if largest is not None and info["size"] > largest:
            return "file_too_large", f"{info['size']} bytes"
        return "", ""

    def _link_refused(self, name: str) -> tuple[str, str]:
        try:
            target = Path(self._root, name).resolve(strict=True)
        except FileNotFoundError:
            return "not_regular", "a link to nowhere"
        except (OSError, RuntimeError) as error:
            return "unreadable", type(error).__name__
        if not target.is_relative_to(Path(self._root).resolve()):
            return "outside_path", "a link that leaves the pool"
        return ("", "") if target.is_file() else ("not_regular", "not a regular file")

    def read(self, name: str, largest: int) -> bytes:
        """All bytes of a file; raises :class:`Rejected`."""
        size = self.listed[name]["size"]
        try:
            with self._open(name) as stream:
                data = bytes(stream.read(largest + 1))
        except FileNotFoundError as error:
            raise Rejected("vanished", "gone since it was listed") from error
        except Exception as error:  # each store's library has errors of its own
            code, status = answer_of(error)
            if status == 412:
                raise Rejected("vanished", "replaced since it was listed") from error
            said = code or getattr(error, "strerror", None) or type(error).__name__
            raise Rejected("unreadable", str(said)) from error
        if len(data) > largest:
            raise Rejected("file_too_large", f"more than {largest} bytes")
        if "ETag" in self.listed[name] and len(data) != size:
            raise Rejected("unreadable", f"{len(data)} of {size} bytes")
        return data

    def local(self, name: str) -> Path:
        """A file that libraries can open by its path: itself, or a copy as long as the tree."""
        if isinstance(self._files, LocalFileSystem):
            return Path(self._root, name)
        if self._copies is None:
            self._copies = temporary_folder(self, "coti-tables-")
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        path = self._copies / f"{digest}{posixpath.splitext(name)[1]}"
        self.copy(name, path)
        return path

    def copy(self, name: str, path: Path) -> None:
        """Copy a file without which there is no pool; raises :class:`PoolError`."""
        try:
            with self._open(name) as stream, path.open("wb") as target:
                shutil.copyfileobj(stream, target, 1 << 24)
        except Exception as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            said = answer_of(error)[0] or type(error).__name__
            raise PoolError(f"{self._root + name!r} cannot be read ({said}): run again.") from error

    def _open(self, name: str) -> Any:
        info = self.listed[name]
        # one request a read; with its size known, s3fs neither asks for nor searches the object
        stream = self._files.open(
            self._root + name, "rb", cache_type="none", size=info["size"] or None
        )
        if "ETag" in info:
            stream.details, stream.read_kw = info, {"IfMatch": info["ETag"]}
        return stream


def files_below(root: Path) -> list[Path]:
    """Everything below a folder that is not a folder, by folder and name."""
    return [root / name for name in FileTree(root).listed]


def answer_of(error: BaseException | None) -> tuple[str, int]:
    """Code and HTTP status of the S3 answer that lies behind an error; empty and 0 without one."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(answer.get("Error", {}).get("Code", "")), int(status)
        error = error.__cause__ or error.__context__
    return "", 0
