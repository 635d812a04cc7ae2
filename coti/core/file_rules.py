"""Files of a user's folder, by one set of rules: what each is by its name, and how it is opened.

Pool, seeds, references and edits ask here. A name decides what is opened at all
(:func:`kind_of_file`), :func:`list_files` leaves nothing out, and :func:`open_inside` lets nobody
lead a reader out of the folder or keep it waiting.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from coti.core.errors import PoolError

__all__ = [
    "IMAGE_SUFFIXES",
    "LARGEST_FILE",
    "SIDECAR_SUFFIXES",
    "TABLE_SUFFIXES",
    "FileRefused",
    "ListedFile",
    "kind_of_file",
    "list_files",
    "open_inside",
    "paths_of_keys",
    "read_inside",
    "stand_in",
    "suffix_of",
    "user_path",
]

LARGEST_FILE = 50_000_000
"""Bytes; a larger image file is not opened unless a setting says so."""

# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
    ".heic", ".heif", ".jxl", ".jp2", ".svg", ".ppm", ".pgm", ".psd", ".ico",
))
"""What images are called, opened or not."""
SIDECAR_SUFFIXES = (".txt", ".caption", ".json")
"""Files that describe the image of the same name; the first with a caption wins."""
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

_SIDE = frozenset((
    *SIDECAR_SUFFIXES, *TABLE_SUFFIXES, ".xml", ".yaml", ".yml", ".md", ".rst", ".log", ".html",
    ".htm", ".css", ".js", ".py", ".sh", ".ini", ".toml",
))
_OTHER = frozenset((
    ".pdf", ".doc", ".docx", ".dat", ".db", ".npy", ".npz", ".pt", ".bin", ".safetensors", ".pkl",
    ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".tar", ".7z", ".rar", ".ogg", ".oga", ".opus",
    ".wav", ".mp3", ".flac", ".m4a", ".mid", ".mp4", ".mkv", ".webm", ".avi", ".mov", ".ttf",
    ".otf", ".exe", ".dll", ".so", ".idx",
))
_SYSTEM_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
_SYSTEM_FOLDERS = frozenset((
    "__macosx", "@eadir", "$recycle.bin", "system volume information", "__pycache__",
))
# fmt: on

_STAND_INS = {
    b"version https://git-lfs.github.com/": (
        "a Git LFS pointer, not the file: `git lfs pull` fetches it"
    ),
    b"/annex/objects/": "a git-annex pointer, not the file: `git annex get` fetches it",
}

_LONGEST_NAME = 255
"""Bytes of a file's name, on all common file systems."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link is an error, a pipe answers at once instead of waiting for a writer."""


class FileRefused(Exception):
    """A file must not or cannot be read: ``reason`` (``vanished``, ``not_regular``,
    ``outside_path``, ``unreadable``, ``file_too_large``) and ``detail``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ListedFile:
    """What stands in a folder: ``kind`` and, of a file, ``size`` in bytes."""

    kind: Literal["file", "link", "folder", "other"]
    """``folder``: one that cannot be listed, for the reason ``problem``."""
    size: int = 0
    problem: str = ""


def user_path(name: str | Path) -> Path:
    """The path that a user names; ``~`` is their home.

    Of a user whom the machine does not know it stays as it is, a path where nothing is:
    ``Path.expanduser`` would raise a RuntimeError.
    """
    return Path(os.path.expanduser(name))


def kind_of_file(name: str) -> Literal["image", "side", "system", "other"]:
    """What a file is by its name relative to the folder that was given, ``/`` between folders.

    ``image`` is opened to see whether it is one. ``side`` is text that belongs beside images
    (captions, tables, notes), ``system`` what operating systems and tools leave behind (hidden
    files, ``._x``, ``Thumbs.db``, ``__MACOSX/``): nobody meant them as images. ``other`` is
    somebody's file that is no image: a sound, an archive, weights.

    >>> [kind_of_file(name) for name in ("a.JPG", "a", "a.txt", "__MACOSX/._a.jpg", "a.mp3")]
    ['image', 'image', 'side', 'system', 'other']
    """
    *folders, base = [part for part in name.split("/") if part not in (".", "..")] or [""]
    if base.lower() in _SYSTEM_FILES or any(
        part.startswith(".") or part.lower() in _SYSTEM_FOLDERS for part in (*folders, base)
    ):
        return "system"
    suffix = suffix_of(base)
    return "side" if suffix in _SIDE else "other" if suffix in _OTHER else "image"


def stand_in(head: bytes) -> str:
    """What a file holds instead of what it is called for, with the remedy; empty where it doesn't.

    >>> stand_in(b"version https://git-lfs.github.com/spec/v1")
    'a Git LFS pointer, not the file: `git lfs pull` fetches it'
    """
    return next((said for mark, said in _STAND_INS.items() if head.startswith(mark)), "")


def suffix_of(name: str) -> str:
    """The last suffix in small letters with its dot, or an empty string.

    >>> suffix_of("a.b/22.05.PNG"), suffix_of("a.b/c"), suffix_of(".png")
    ('.png', '', '.png')
    """
    base = name.rpartition("/")[2]
    return f".{base.rpartition('.')[2].lower()}" if "." in base else ""


def list_files(folder: str | Path) -> dict[str, ListedFile]:
    """Everything below a folder by its relative name, by folder and name; links are not entered.

    A subfolder that cannot be listed stands there itself, so that what it hides is not forgotten.

    Raises:
        PoolError: ``folder`` itself cannot be listed.
    """
    found: dict[str, ListedFile] = {}
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(os.path.join(folder, inside)) as entries:
                for entry in entries:
                    name = inside + entry.name
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(name + "/")
                            continue
                        found[name] = _listed(entry)
                    except OSError as error:  # gone, or a folder that may be listed and no more
                        found[name] = ListedFile("other", 0, _said(error))
        except OSError as error:
            if not inside:
                raise PoolError(
                    f"The folder {str(folder)!r} cannot be read ({_said(error)}): check its name "
                    "and permissions."
                ) from error
            found[inside.rstrip("/")] = ListedFile("folder", 0, _said(error))
    return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}


def _listed(entry: os.DirEntry[str]) -> ListedFile:
    if entry.is_symlink():
        return ListedFile("link")
    status = entry.stat(follow_symlinks=False)
    return ListedFile("file" if stat.S_ISREG(status.st_mode) else "other", status.st_size)


def open_inside(folder: str | Path, name: str) -> BinaryIO:
    """Open the regular file ``name`` below ``folder`` for reading, unbuffered.

    Each part of the name is opened below the handle of the one before without following links,
    and what was opened is looked at, not the name: a swap in between leads nowhere. A link is
    read where it stays inside the folder, or leads to the blobs of the Hugging Face snapshot that
    the folder is. Pipes and devices are refused without waiting.

    Raises:
        FileRefused: there is no such file, or it must not be read.
    """
    try:
        try:
            handle = _descend(folder, PurePosixPath(name).parts)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            handle = _through_link(folder, name)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise FileRefused("not_regular", "not a regular file")
        return open(handle, "rb", buffering=0)
    except FileNotFoundError as error:
        raise FileRefused("vanished", "gone since it was listed") from error
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL in the name
        if getattr(error, "errno", None) == errno.ENXIO:  # a socket
            raise FileRefused("not_regular", "not a regular file") from error
        raise FileRefused("unreadable", _said(error)) from error


def read_inside(folder: str | Path, name: str, largest: int = LARGEST_FILE) -> bytes:
    """All bytes of a regular file below a folder, as :func:`open_inside` opens it.

    Raises:
        FileRefused: it cannot be read, or has more than ``largest`` bytes.
    """
    with open_inside(folder, name) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            if size > largest:
                raise FileRefused("file_too_large", f"{size} bytes")
            parts: list[bytes] = []
            left = largest + 1
            while left > 0 and (part := stream.read(min(left, max(size + 1, 1 << 16)))):
                parts.append(part)
                left -= len(part)
        except OSError as error:
            raise FileRefused("unreadable", _said(error)) from error
    if left <= 0:
        raise FileRefused("file_too_large", f"more than {largest} bytes")
    return b"".join(parts)


def paths_of_keys(keys: Iterable[str]) -> dict[str, str]:
    """Relative paths to copy a store's objects to, by their keys below its prefix.

    A store's keys are plain texts, a folder's names are not: no file stands in another file.

    Raises:
        ValueError: a key leaves the folder, is too long for a file's name, or two of them cannot
            stand in it side by side.

    >>> paths_of_keys(["a.png", "b//c.png"])
    {'a.png': 'a.png', 'b//c.png': 'b/c.png'}
    >>> paths_of_keys(["a", "a/b"])
    Traceback (most recent call last):
    ValueError: the keys 'a' and 'a/b' cannot both be files of a folder: rename one
    """
    paths: dict[str, str] = {}
    taken: dict[str, str] = {}
    for key in keys:
        path = posixpath.normpath(key)
        if path in (".", "..") or path.startswith(("../", "/")) or "\0" in key:
            raise ValueError(f"the key {key!r} leaves the prefix: rename it")
        if (
            max(len(part.encode(errors="surrogatepass")) for part in path.split("/"))
            > _LONGEST_NAME
        ):
            raise ValueError(
                f"the key {key[:80]!r}… has a part of more than {_LONGEST_NAME} bytes, which no "
                "file's name may have: rename it"
            )
        paths[key] = path
        if taken.setdefault(path, key) != key:
            raise ValueError(
                f"the keys {taken[path]!r} and {key!r} cannot both be files of a folder: rename one"
            )
    for key, path in paths.items():
        for above in map(str, PurePosixPath(path).parents):
            if above in taken:
                raise ValueError(
                    f"the keys {taken[above]!r} and {key!r} cannot both be files of a folder: "
                    "rename one"
                )
    return paths


def _descend(folder: str | Path, parts: tuple[str, ...]) -> int:
    """A handle of a file below a folder, no link on the way."""
    if not parts or ".." in parts or parts[0] == "/":
        raise FileRefused("outside_path", "the name leaves the folder")
    above = os.open(folder, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            os.close(above)
            above = inner
        return os.open(parts[-1], _FILE, dir_fd=above)
    finally:
        os.close(above)


def _through_link(folder: str | Path, name: str) -> int:
    """A handle of the file behind a link, where it may be read."""
    root = Path(folder).resolve()
    try:
        target = Path(folder, name).resolve(strict=True)
    except FileNotFoundError as error:
        raise FileRefused("not_regular", "a link to nowhere") from error
    for allowed in (root, *_hub_blobs(root)):
        if target.is_relative_to(allowed):
            if target.is_dir():
                raise FileRefused("not_regular", "a link to a folder: give that folder itself")
            return _descend(allowed, target.relative_to(allowed).parts)
    raise FileRefused("outside_path", "a link that leaves the folder: copy the file there (cp -L)")


def _hub_blobs(root: Path) -> tuple[Path, ...]:
    """Where the links of ``…/snapshots/REVISION`` of a Hugging Face cache lead."""
    for inside in (root, *root.parents):
        blobs = inside.parent.parent / "blobs"
        if inside.parent.name == "snapshots" and blobs.is_dir():
            return (blobs,)
    return ()


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
