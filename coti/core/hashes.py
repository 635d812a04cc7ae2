"""Content hashes of weight files and folders, for cache keys, file headers and lineage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from coti.core.errors import ModelError

__all__ = ["fingerprint_files"]


def fingerprint_files(paths: Iterable[str | Path]) -> str:
    """Hash files and folders by what they hold: sha256, 64 hexadecimal digits.

    A file counts by its name and bytes; a folder by the names of its files relative to it and
    their bytes, hidden files and Markdown (model cards) left out. Where they lie, the order they
    are given in, and their dates do not matter.

    Raises:
        ModelError: a path does not exist, or a folder holds nothing that counts.
    """
    named: list[tuple[str, Path]] = []
    for given in map(Path, paths):
        if given.is_file():
            named.append((given.name, given))
        elif given.is_dir():
            inside = sorted(_files_of(given))
            if not inside:
                raise ModelError(f"{given} holds no file: give the folder with the weights.")
            named.extend(inside)
        else:
            raise ModelError(f"{given} does not exist: check the path, or build the models first.")
    total = hashlib.sha256()
    # Digests of equal length are joined, so no two different sets of files read the same.
    for entry in sorted(_digest(name, path) for name, path in named):
        total.update(entry)
    return total.hexdigest()


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and path.suffix.lower() != ".md":
            yield relative.as_posix(), path


def _digest(name: str, path: Path) -> bytes:
    start = hashlib.sha256(hashlib.sha256(name.encode("utf-8")).digest())
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: start).digest()
