"""Files and folders that are whole or absent; nothing is removed that we did not make.

Whatever is written for a user goes through here. It is made beside its place under a name of its
own, flushed and renamed, so that a killed process leaves the old one or the new one and never half,
and a link that somebody has laid is replaced, not followed. What a killed process left is removed
by the next that writes there: its lock has gone with it. A folder is removed only if it holds
:data:`MARKER`, which we put there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from coti.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import torch

__all__ = [
    "MARKER",
    "is_ours",
    "plain_name",
    "point_link",
    "private_folder",
    "refuse_foreign",
    "remove_ours",
    "require_writable",
    "temporary_folder",
    "tensor_bytes",
    "tensor_hash",
    "whole_file",
    "whole_folder",
    "write_whole",
]

MARKER = ".made-by-coti"
"""In every folder that we may remove or replace."""
_PART = re.compile(r"\.coti-[0-9a-f]{16}\.part")
_TEMPORARY = re.compile(r"coti-(?:[a-z0-9]+-)?[0-9a-f]{16}")
_LONGEST = 200
"""Bytes of a name; file systems take 255, and names are put together."""


def tensor_bytes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file's bytes with its metadata in sorted order.

    The library writes metadata in an order that changes from call to call.
    """
    from safetensors.torch import save

    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(whole)
    size = int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8 : 8 + size])}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def tensor_hash(*tensors: torch.Tensor) -> str:
    """Twelve hexadecimal digits that change with any byte, shape or dtype of the tensors."""
    import torch

    digest = hashlib.sha256()
    for tensor in tensors:
        whole = tensor.detach().cpu().contiguous()
        digest.update(f"{whole.dtype}{list(whole.shape)}".encode())
        digest.update(whole.view(torch.uint8).numpy().tobytes() if whole.numel() else b"")
    return digest.hexdigest()[:12]


def plain_name(name: str, what: str) -> str:
    """The name, if a file or a folder may be called so wherever it is put.

    Args:
        name: one part of a path.
        what: of what it is the name, for the sentence.

    Raises:
        ConfigError: it is a path, hidden, unprintable or too long.

    >>> plain_name("boots-3", "run_name")
    'boots-3'
    """
    size = len(name.encode("utf-8", "surrogatepass"))
    plain = name.isprintable() and not set(name) & {"/", "\\"} and name == name.strip()
    if not name or not plain or name[0] in ".-~" or size > _LONGEST:
        raise ConfigError(
            f"{what} {name[:_LONGEST]!r} is no plain name: letters, digits, blanks and signs but / "
            f"and \\, none of . - ~ first, no blank at an end, at most {_LONGEST} bytes."
        )
    return name


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; its folder is made where there is none."""
    with whole_file(path) as part:
        part.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty file to write to; it takes ``path``'s place at the end, unless an error comes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part, lock = _new(path.parent, ".coti-{}.part", folder=False)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if error.filename in (None, str(part)):  # what the user knows it by
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder to fill; it becomes ``path`` at the end, unless an error comes.

    Args:
        path: of the folder.
        replace: one of ours that is there already, and let it be replaced in turn: it keeps
            :data:`MARKER`. Without it the folder is the user's from then on.

    Raises:
        StoreError: there is something at ``path`` that we may not replace.
    """
    refuse_foreign(path, replace=replace)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, lock = _new(path.parent, ".coti-{}.part", folder=True)
    try:
        yield part
        refuse_foreign(path, replace=replace)
        if not replace:
            (part / MARKER).unlink()
        old = None
        if replace and path.is_dir() and any(path.iterdir()):
            old = path.with_name(f".coti-{secrets.token_hex(8)}.part")
            path.rename(old)
        part.rename(path)
        if old is not None:
            shutil.rmtree(old)
    finally:
        if part.exists():
            shutil.rmtree(part)
        os.close(lock)


def refuse_foreign(path: Path, *, replace: bool = True) -> None:
    """Nothing where a folder shall be, an empty folder, or with ``replace`` one of ours.

    Raises:
        StoreError: it is something else; says what to do.
    """
    if not os.path.lexists(path) or (replace and is_ours(path)):
        return
    if path.is_symlink() or not path.is_dir() or any(path.iterdir()):
        raise StoreError(
            f"{path} is there already and nothing that may be replaced: move it away, or choose "
            "another place."
        )


def require_writable(folder: Path) -> None:
    """A file can be written to the folder; one that is not there is made and goes again.

    Raises:
        StoreError: it cannot, or libraries take no file of its name; says why.
    """
    if not _is_text(folder):
        raise StoreError(
            f"{folder} has a name that is no UTF-8 text, which not all files can be written to: "
            "choose another."
        )
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part, lock = _new(folder, ".coti-{}.part", folder=False)
        try:
            os.write(lock, bytes(4096))
        finally:
            part.unlink()
            os.close(lock)
            for each in missing:
                with suppress(OSError):
                    each.rmdir()
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written ({error.strerror}): free space, or mend the path or its "
            "rights."
        ) from error


def _is_text(path: Path) -> bool:
    try:
        return bool(str(path.absolute()).encode())
    except UnicodeEncodeError:
        return False


def point_link(link: Path, target: str) -> None:
    """Let a link name another thing beside it, in one stroke.

    Raises:
        StoreError: there is something else than a link.
    """
    if link.exists() and not link.is_symlink():
        raise StoreError(f"{link} is no link of ours: move it away.")
    beside = link.with_name(f".coti-{secrets.token_hex(8)}.part")
    beside.symlink_to(target, target_is_directory=True)
    beside.replace(link)


def is_ours(folder: Path) -> bool:
    """Whether it is a folder that we made and may remove; a link to one is not."""
    with suppress(OSError):
        inside = os.lstat(folder / MARKER)
        return stat.S_ISDIR(os.lstat(folder).st_mode) and stat.S_ISREG(inside.st_mode)
    return False


def remove_ours(folder: Path) -> None:
    """Remove a folder of ours; no link in it is followed.

    It is gone at once for whoever looks. Killed from there on, the next one that writes beside it
    removes the rest.

    Raises:
        StoreError: it is not one that we made.
    """
    if not is_ours(folder):
        raise StoreError(f"{folder} is no folder of ours: it is left as it is.")
    part = folder.with_name(f".coti-{secrets.token_hex(8)}.part")
    folder.rename(part)
    shutil.rmtree(part)


@contextmanager
def temporary_folder(prefix: str = "coti-") -> Iterator[Path]:
    """A private folder in the place for temporary files, gone at the end.

    One that a killed process left there is removed by the next call. ``prefix`` begins with
    ``coti-`` and says what is in it.
    """
    folder, lock = _new(Path(tempfile.gettempdir()), f"{prefix}{{}}", folder=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def private_folder(path: Path) -> Path:
    """A folder that nobody else may read; made where there is none, closed where it is open."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.lstat(path)
    if found.st_mode & 0o077 and found.st_uid == os.geteuid() and not path.is_symlink():
        path.chmod(0o700)
    return path


_swept: set[Path] = set()


def _new(parent: Path, name: str, *, folder: bool) -> tuple[Path, int]:
    """A new file or folder, and its lock: a descriptor that the kernel closes with the process."""
    if parent not in _swept:  # once a process: a folder may have thousands of files
        _swept.add(parent)
        _remove_abandoned(parent)
    while True:
        path = parent / name.format(secrets.token_hex(8))
        if folder:
            path.mkdir(0o700 if _TEMPORARY.fullmatch(path.name) else 0o777)
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        else:
            how = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(path, how, 0o666)
        _locked(lock)
        with suppress(OSError):
            if folder:
                (path / MARKER).write_text("COTI made this folder and may replace it.\n")
            if os.path.samestat(os.lstat(path), os.fstat(lock)):
                return path, lock
        os.close(lock)  # taken for abandoned between its making and its lock


def _locked(descriptor: int) -> bool:
    """Take the lock; whether it could be had. Some network file systems have none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_abandoned(parent: Path) -> None:
    """What killed processes left: ours by name, owner and, if a folder, marker; and not locked."""
    with suppress(OSError):
        for entry in list(os.scandir(parent)):
            if _PART.fullmatch(entry.name) or _TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(path: Path) -> None:
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(path, how)
    try:
        found = os.fstat(lock)
        if found.st_uid != os.geteuid() or not _locked(lock):
            return
        if stat.S_ISREG(found.st_mode) and _PART.fullmatch(path.name):
            path.unlink()
        elif is_ours(path):
            shutil.rmtree(path)
        elif stat.S_ISDIR(found.st_mode):
            path.rmdir()  # killed before it had its marker: nothing is in it
    finally:
        os.close(lock)
