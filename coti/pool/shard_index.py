"""Where the members of a tar archive lie: it is read in place, never unpacked."""

from __future__ import annotations

import os
import tarfile
import weakref
from dataclasses import dataclass, field
from typing import BinaryIO

from coti.core.file_rules import stand_in
from coti.core.shown_names import printable
from coti.pool.file_tree import FileTree
from coti.pool.reasons import Rejected
from coti.pool.tar_headers import headers

__all__ = ["Member", "Shard", "index_shard"]

_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a shard: where its bytes lie, or why they are not read."""

    name: str
    part: int
    """Of archives written one behind the other, and from each name that comes again."""
    offset: int
    size: int
    reason: str = ""
    detail: str = ""


@dataclass
class Shard:
    """A tar archive's members by name, ``#2`` behind one that comes again, in their order."""

    stream: BinaryIO | None = None
    members: dict[str, Member] = field(default_factory=dict)
    broken: str = ""
    """What is wrong with the archive's end, where something is."""
    name: str = ""
    """The archive's, in its tree."""

    def __post_init__(self) -> None:
        if self.stream is not None:
            weakref.finalize(self, self.stream.close)

    def refused(self, name: str, largest: int | None = None) -> tuple[str, str]:
        """Reason and detail where a member must not be read, else two empty strings."""
        member = self.members[name]
        if not member.reason and largest is not None and member.size > largest:
            return "file_too_large", f"{member.size} bytes"
        return member.reason, member.detail

    def where(self, name: str) -> tuple[str, str, int]:
        """The archive, the member's name in it, and the bytes before the member's."""
        return self.name, self.members[name].name, self.members[name].offset

    def read(self, name: str, largest: int) -> bytes:
        """A member's bytes; raises :class:`Rejected`."""
        member = self.members[name]
        if member.size > largest:
            raise Rejected("file_too_large", f"{member.size} bytes")
        assert self.stream is not None
        try:
            data = os.pread(self.stream.fileno(), member.size, member.offset)
        except OSError as error:
            raise Rejected("unreadable", error.strerror or type(error).__name__) from error
        if len(data) < member.size:
            raise Rejected("broken_shard", f"{len(data)} of {member.size} bytes are there")
        return data


def index_shard(tree: FileTree, name: str) -> Shard:
    """List a tar archive's members without unpacking anything.

    Folders are passed over; links, devices and sparse files, and names that lead out, become
    members with a reason. Archives that were written one behind the other are one. A cut or damaged
    archive keeps what comes before the damage.
    """
    try:
        shard = Shard(tree.open(name), name=name)
    except Rejected as rejected:
        return Shard(broken=rejected.detail)
    stream = shard.stream
    assert stream is not None
    try:
        head = stream.read(512)
        packed = next((how for mark, how in _PACKED.items() if head.startswith(mark)), None)
        if packed is not None:
            shard.broken = f"packed with {packed[0]}: unpack it first ({packed[1]})"
        elif said := stand_in(head):
            shard.broken = said
        else:
            _index(stream, shard)
    except Exception as error:  # a parser's bug is the archive's fault, and its row says so
        shard.broken = f"{type(error).__name__}: {printable(str(error))}"[:200]
    return shard


def _index(stream: BinaryIO, shard: Shard) -> None:
    part, inside = 0, set[str]()
    again: dict[str, int] = {}
    start = 0
    while True:
        for member in headers(stream, start):
            if member.isdir():
                continue
            if member.name in inside:
                part, inside = part + 1, set()
            inside.add(member.name)
            own = Member(member.name, part, member.offset_data, member.size, *_refused(member))
            identity, number = member.name, again.get(member.name, 1)
            while identity in shard.members:
                number += 1
                identity = f"{member.name}#{number}"
            again[member.name] = number
            shard.members[identity] = own
        end = stream.tell()
        block = stream.read(512)
        if len(block) < 512:
            shard.broken = "the archive's end is missing: it was cut off"
            return
        if any(block):
            shard.broken = f"damaged from byte {end}"
            return
        start = _behind_zeros(stream, end)
        if start < 0:
            return
        part, inside = part + 1, set()


def _behind_zeros(stream: BinaryIO, start: int) -> int:
    """Where the next block that is not all zeros begins; -1 where there is none."""
    stream.seek(start)
    size = 1 << 12
    while block := stream.read(size):
        if rest := block.lstrip(b"\0"):
            return (start + len(block) - len(rest)) // 512 * 512
        start, size = start + len(block), min(2 * size, 1 << 20)
    return -1


def _refused(member: tarfile.TarInfo) -> tuple[str, str]:
    name = member.name
    if name.startswith(("/", "\\")) or ".." in name.split("/") or "\0" in name:
        return "outside_path", printable(name)[:200]
    if member.issym() or member.islnk():
        return "not_regular", f"a link to {printable(member.linkname)[:150]}"
    if not member.isreg() or member.issparse() or member.size < 0:
        return "not_regular", "not a regular file"
    return "", ""
