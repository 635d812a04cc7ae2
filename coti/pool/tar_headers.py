"""Headers of a tar archive, read in bounded memory and in time that the archive's size bounds.

:mod:`tarfile` reads sparse members' maps and global headers into memory whatever their size, and
looks for each record of an extended header in all of it. Here are names, types and sizes alone.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["headers"]

_BLOCK = tarfile.BLOCKSIZE
_LARGEST = 1_000_000
"""Bytes of an extended header, which is read whole; a name or two take a few hundred."""
_LONGEST_NAME = 4_096
"""Characters; no system has longer paths."""
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = {tarfile.GNUTYPE_LONGNAME: b"path", tarfile.GNUTYPE_LONGLINK: b"linkpath"}
_EXTENDED = (*_PAX, *_LONG, tarfile.XGLTYPE)


def headers(stream: BinaryIO, start: int) -> Iterator[tarfile.TarInfo]:
    """The members of the archive that begins at byte ``start``, in their order.

    ``offset`` is where a member's header begins, ``offset_data`` where its bytes do; ``sparse`` is
    None unless it is. What global headers say of all members is passed over. The stream stands at
    the end then: where the next header should be, and is not.

    Raises:
        tarfile.TarError: a header contradicts itself, or asks for too much.
    """
    said: dict[bytes, bytes] = {}
    place = start
    while len(block := _at(stream, place)) == _BLOCK and any(block):
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            break
        member.offset, place = place, place + _BLOCK
        if member.type in _EXTENDED:
            if not 0 <= member.size <= _LARGEST:
                raise tarfile.ReadError(f"an extended header of {member.size} bytes")
            data = stream.read(member.size)
            place += _whole_blocks(member.size)
            if member.type in _LONG:
                said[_LONG[member.type]] = data.partition(b"\0")[0]
            elif member.type in _PAX:
                said |= _records(data)
            continue
        if member.type == tarfile.GNUTYPE_SPARSE:
            member.sparse = b""
            more = block[482]
            while more and len(block := _at(stream, place)) == _BLOCK:
                more, place = block[504], place + _BLOCK
        _apply(said, member)
        said = {}
        member.offset_data = place
        if member.isreg() or member.type not in tarfile.SUPPORTED_TYPES:
            place += _whole_blocks(member.size)
        yield member
    if said:
        raise tarfile.ReadError("an extended header of no member")
    stream.seek(place)


def _at(stream: BinaryIO, place: int) -> bytes:
    stream.seek(place)
    return stream.read(_BLOCK)


def _whole_blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _records(data: bytes) -> dict[bytes, bytes]:
    """What a pax header says; a damaged record ends it."""
    found: dict[bytes, bytes] = {}
    place = 0
    while place < len(data):
        length, blank, _ = data[place : place + 20].partition(b" ")
        end = place + int(length) if blank and length.isdigit() else 0
        middle = data.find(b"=", place + len(length) + 1, end)
        if middle < 0 or end > len(data):
            break
        name = data[place + len(length) + 1 : middle]
        if name in (b"path", b"linkpath", b"size") or name.startswith(b"GNU.sparse."):
            found[name] = data[middle + 1 : end - 1]
        place = end
    return found


def _apply(said: dict[bytes, bytes], member: tarfile.TarInfo) -> None:
    """What extended headers say of the member behind them."""
    for name, value in said.items():
        if name in (b"path", b"GNU.sparse.name"):
            member.name = value.decode("utf-8", "surrogateescape").rstrip("/")
        elif name == b"linkpath":
            member.linkname = value.decode("utf-8", "surrogateescape").rstrip("/")
        elif name == b"size":
            if not (value.isdigit() and len(value) < 20):
                raise tarfile.ReadError("a size that is no number")
            member.size = int(value)
        if name.startswith(b"GNU.sparse."):
            member.sparse = b""
    if member.size < 0:
        raise tarfile.ReadError(f"a member of {member.size} bytes")
    if len(member.name) > _LONGEST_NAME:
        raise tarfile.ReadError(f"a name of {len(member.name)} characters")
