"""WebDataset tar shards: samples are members with the same key, read in place, never unpacked."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from coti.core.errors import PoolError
from coti.pool.entry import Entry
from coti.pool.file_tree import files_below
from coti.pool.input_tables import printable
from coti.pool.local_files import existing, hash_files, read_bounded
from coti.pool.sidecars import SIDECAR_LIMIT, SIDECARS, from_sidecars
from coti.settings import PoolSettings

__all__ = ["Member", "Shard", "WebDatasetSource", "index_shard", "sample_entries"]

# fmt: off
IMAGE_SUFFIXES = frozenset((
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic",
    "heif", "jxl", "jp2", "svg", "ppm", "pgm", "psd", "ico",
))
# fmt: on
"""Members that are images, opened or not; others are parts of a sample."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a shard: where its bytes lie, or why they are not read."""

    name: str
    offset: int
    size: int
    reason: str = ""
    detail: str = ""


@dataclass
class Shard:
    """A tar archive's members by sample key, in the archive's order."""

    path: Path
    samples: dict[str, list[Member]] = field(default_factory=dict)
    broken: str = ""
    """What is wrong with the archive's end, where something is."""

    def read(self, member: Member, largest: int) -> bytes:
        """A member's bytes; raises :class:`Rejected`."""
        return read_bounded(self.path, largest, offset=member.offset, size=member.size)


class WebDatasetSource:
    """A ``.tar`` file or a folder with some: images with captions beside them."""

    kind = "webdataset"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        path, self._settings = existing(source), settings
        self.notes: list[str] = []
        self._root = path if path.is_dir() else path.parent
        files = files_below(path) if path.is_dir() else [path]
        self._shards = [file for file in files if file.name.endswith((".tar", ".tar.gz", ".tgz"))]
        others = len(files) - len(self._shards)
        if not self._shards:
            raise PoolError(f"The pool {str(path)!r} has no .tar shards.")
        if others:
            self.notes.append(f"{others} files beside the shards are no part of the pool")

    @classmethod
    def claims(cls, source: str) -> bool:
        """A ``.tar`` file, or a folder with one."""
        path = Path(source).expanduser()
        files = path.iterdir() if path.is_dir() else [path] if path.is_file() else ()
        return any(file.suffix.lower() == ".tar" for file in files)

    def fingerprint(self) -> str:
        """Hash of every shard's name and bytes."""
        return hash_files(self._root, self._shards)

    def entries(self) -> Iterator[Entry]:
        """Every image of every shard; a sample without one, and a broken end, are rows too."""
        for path in self._shards:
            name = printable(path.relative_to(self._root).as_posix())
            yield from sample_entries(index_shard(path), name, self._settings)


def sample_entries(shard: Shard, name: str, settings: PoolSettings) -> Iterator[Entry]:
    """The images of a shard with the captions of their samples."""
    seen: dict[str, int] = {}
    for key, members in shard.samples.items():
        images = [m for m in members if m.reason or _suffix(m.name) in IMAGE_SUFFIXES]
        beside = [
            (f".{_suffix(member.name)}", partial(shard.read, member, SIDECAR_LIMIT))
            for member in members
            if not member.reason and f".{_suffix(member.name)}" in SIDECARS
        ]
        caption, extra = from_sidecars(beside, settings.caption_language)
        if not images:
            place = f"{name}/{printable(key)}"
            yield Entry(place, caption, None, "missing_file", "a sample without an image", extra)
        for member in images:
            place = f"{name}/{printable(member.name)}"
            seen[place] = seen.get(place, 0) + 1
            place = place if seen[place] == 1 else f"{place}#{seen[place]}"
            if member.reason:
                yield Entry(place, caption, None, member.reason, member.detail, extra)
            else:
                read = partial(shard.read, member, settings.max_bytes)
                yield Entry(place, caption, read, "", "", extra)
    if shard.broken:
        yield Entry(name, "", None, "broken_shard", shard.broken)


def index_shard(path: Path) -> Shard:
    """List a tar archive's members without unpacking anything.

    Folders are passed over; links, devices and sparse files, and names that lead out, become
    members with a reason. A cut or damaged archive keeps what comes before the damage.
    """
    shard = Shard(path)
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                reason, detail = _refused(member)
                own = Member(member.name, member.offset_data, member.size, reason, detail)
                shard.samples.setdefault(_key(member.name), []).append(own)
            end = archive.offset
        with path.open("rb") as stream:
            stream.seek(end)
            block = stream.read(512)
        if len(block) < 512:
            shard.broken = "the archive's end is missing: it was cut off"
        elif any(block):
            shard.broken = f"damaged from byte {end}"
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        shard.broken = f"{type(error).__name__}: {error}"[:200]
    return shard


def _refused(member: tarfile.TarInfo) -> tuple[str, str]:
    name = member.name
    if name.startswith(("/", "\\")) or ".." in name.split("/") or "\0" in name:
        return "outside_path", printable(name)[:200]
    if member.issym() or member.islnk():
        return "not_regular", f"a link to {printable(member.linkname)[:150]}"
    if not member.isreg() or member.issparse() or member.size < 0:
        return "not_regular", "not a regular file"
    return "", ""


def _key(name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.split(".", 1)[0])


def _suffix(name: str) -> str:
    return posixpath.basename(name).rpartition(".")[2].lower()
