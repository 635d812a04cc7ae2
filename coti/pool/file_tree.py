"""Files below a folder or below a store's prefix: listed once, each read whole or not at all.

A folder is read by :mod:`coti.core.file_rules`, a store through fsspec. A link must stay inside the
folder; an object must be the one that was listed (its ETag goes along with the request). What was
read is remembered by its hash, so that a fingerprint is of just these bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from coti.core.errors import PoolError
from coti.core.file_rules import (
    FileRefused,
    ListedFile,
    list_files,
    open_inside,
    paths_of_keys,
    read_inside,
)
from coti.pool.local_files import content_hash, hash_contents, temporary_folder
from coti.pool.reasons import Rejected

if TYPE_CHECKING:
    import fsspec

__all__ = ["FileTree", "answer_of"]


class FileTree:
    """Files by their name relative to ``root``, ``/`` between folders.

    Links count as files, so that a linked folder is not entered but still accounted for, and so
    does a folder that cannot be listed; a store's folder markers are no objects.
    """

    def __init__(
        self,
        root: str | Path,
        files: fsspec.AbstractFileSystem | None = None,
        only: str | None = None,
    ) -> None:
        """``only``: the single file below ``root`` that the user named, a link or not."""
        if only is not None:
            real = Path(root, only).resolve()
            root, self._real = real.parent, {only: real.name}
        else:
            self._real = {}
        self._files = files
        self._copies: Path | None = None
        self._hashes: dict[str, bytes] = {}
        self._states: dict[str, tuple[int, ...]] = {}
        self._root = f"{root if files else Path(root).absolute()}".rstrip("/") + "/"
        self.listed: dict[str, dict[str, Any]]
        """What the file system says of each file, by folder and name."""
        if files is None:
            found = list_files(root) if only is None else {only: ListedFile("file")}
            self.listed = {name: _described(file) for name, file in found.items()}
        else:
            objects = files.find(self._root, detail=True).items()
            listed = {name[len(self._root) :]: info for name, info in objects if name[-1] != "/"}
            listed.pop("", None)
            self.listed = {
                name: listed[name] for name in sorted(listed, key=lambda name: name.split("/"))
            }

    def refused(self, name: str, largest: int | None = None) -> tuple[str, str]:
        """Reason and detail where a file must not be read, else two empty strings."""
        info = self.listed[name]
        if info.get("problem"):
            return "unreadable", info["problem"]
        if info.get("islink"):
            try:
                open_inside(self._root, self._real.get(name, name)).close()
            except FileRefused as refused:
                return refused.reason, refused.detail
            return "", ""
        if info["type"] != "file":
            return "not_regular", "not a regular file"
        if largest is not None and info["size"] > largest:
            return "file_too_large", f"{info['size']} bytes"
        return "", ""

    def read(self, name: str, largest: int) -> bytes:
        """All bytes of a file; raises :class:`Rejected`."""
        if self._files is None:
            try:
                data = read_inside(self._root, self._real.get(name, name), largest)
            except FileRefused as refused:
                if refused.reason != "file_too_large":
                    self._hashes[name] = refused.reason.encode()
                raise Rejected(refused.reason, refused.detail) from refused
            self._hashes[name] = b"file" + hashlib.sha256(data).digest()
            return data
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
        if len(data) != size:
            raise Rejected("unreadable", f"{len(data)} of {size} bytes")
        return data

    def part(self, name: str, offset: int, size: int) -> bytes:
        """A part of a store's object; raises :class:`Rejected`."""
        assert self._files is not None
        try:
            return bytes(self._files.cat_file(self._root + name, start=offset, end=offset + size))
        except FileNotFoundError as error:
            raise Rejected("vanished", "gone since it was listed") from error
        except Exception as error:  # each store's library has errors of its own
            said = answer_of(error)[0] or type(error).__name__
            raise Rejected("unreadable", said) from error

    def where(self, name: str) -> tuple[str, str, int]:
        """The file itself: relative to ``root``, in no archive, from its first byte on."""
        return name, "", 0

    def open(self, name: str) -> BinaryIO:
        """A file of a folder, or a copy of an object as long as the tree; raises `Rejected`.

        For what is too large to be read at once: from here to :meth:`fingerprint` it must not
        change.
        """
        if self._files is not None:
            return self._copy_of(name).open("rb")
        try:
            stream = open_inside(self._root, self._real.get(name, name))
        except FileRefused as refused:
            raise Rejected(refused.reason, refused.detail) from refused
        state = _state(stream)
        if self._states.setdefault(name, state) != state:
            stream.close()
            raise Rejected("vanished", "replaced since it was read first")
        return stream

    def fingerprint(self, names: Collection[str] | None = None) -> str:
        """Hash of names and content, of what was read where it was; for folders only."""
        return hash_contents(self.listed if names is None else names, self._content)

    def _content(self, name: str) -> bytes:
        if name in self._hashes:
            return self._hashes[name]
        content = content_hash(self._root, self._real.get(name, name))
        if name in self._states:
            try:
                with open_inside(self._root, self._real.get(name, name)) as stream:
                    if _state(stream) != self._states[name]:
                        return b"changed while it was read"
            except FileRefused:
                return b"gone while it was read"
        return content

    def _copy_of(self, name: str) -> Path:
        if self._copies is None:
            self._copies = temporary_folder(self, "coti-tables-")
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
        path = self._copies / f"{digest}{posixpath.splitext(name)[1]}"
        if not path.exists():
            self.copy(name, path)
        return path

    def copy(self, name: str, path: Path) -> None:
        """Copy a file without which there is no pool; raises :class:`PoolError`."""
        try:
            with self._open(name) as stream, path.open("wb") as target:
                shutil.copyfileobj(stream, target, 1 << 24)
                copied, size = target.tell(), self.listed[name]["size"]
        except Exception as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            said = answer_of(error)[0] or type(error).__name__
            raise PoolError(f"{self._root + name!r} cannot be read ({said}): run again.") from error
        if copied != size:
            raise PoolError(
                f"{self._root + name!r} cannot be read ({copied} of {size} bytes): run again."
            )

    def copy_all(self, folder: Path) -> None:
        """Copy every file to its place in a new folder; raises :class:`PoolError`."""
        try:
            paths = paths_of_keys(self.listed)
        except ValueError as error:
            raise PoolError(f"{self._root!r} cannot be copied: {error}.") from error
        for name, path in paths.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy(name, target)

    def _open(self, name: str) -> Any:
        assert self._files is not None
        info = self.listed[name]
        # one request a read; with its size known, s3fs neither asks for nor searches the object
        stream = self._files.open(
            self._root + name, "rb", cache_type="none", size=info["size"] or None
        )
        if "ETag" in info:
            stream.details, stream.read_kw = info, {"IfMatch": info["ETag"]}
        return stream


def answer_of(error: BaseException | None) -> tuple[str, int]:
    """Code and HTTP status of the S3 answer that lies behind an error; empty and 0 without one."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(answer.get("Error", {}).get("Code", "")), int(status)
        error = error.__cause__ or error.__context__
    return "", 0


def _described(file: ListedFile) -> dict[str, Any]:
    return {
        "type": "file" if file.kind == "link" else file.kind,
        "size": file.size,
        "islink": file.kind == "link",
        "problem": file.problem,
    }


def _state(stream: BinaryIO) -> tuple[int, ...]:
    """Which file this is and how it stands: another one once it is written to or replaced."""
    status = os.fstat(stream.fileno())
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
