"""What was fetched, kept by shard: a file of bytes and an index of them, checked when read.

Both appear whole or not at all, so a broken run goes on behind its last whole shard. Every line of
the index has its own checksum and every body its hash: what was damaged or cut off since is fetched
again, the rest is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp.abc import AbstractResolver

from coti.core.whole_files import whole_file
from coti.pool.fetch.fetcher import fetch_all
from coti.settings import FetchSettings

__all__ = ["Kept", "Shard", "fetch_shard", "policy_key"]

_RULES = 3
"""Another number where this version of the code accepts other answers than the one before."""
_SPEED = ("concurrency", "per_host", "host_delay", "backoff", "cache")
"""Settings of fetching that decide nothing about what is accepted."""


@dataclass(frozen=True)
class Kept:
    """What came of one URL, and where its bytes lie."""

    number: int
    """Place in the list of URLs."""
    url: str
    """The URL's hash: it may hold a password."""
    reason: str
    detail: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """A shard as it is kept now."""

    body: Path
    rows: list[Kept]
    """One a URL, in their order."""
    damaged: int
    """Rows that were there, but not as they were fetched; they were fetched again."""


def policy_key(settings: FetchSettings, max_bytes: int) -> str:
    """Twelve hexadecimal digits that change with whatever decides what is accepted."""
    decides = {name: value for name, value in asdict(settings).items() if name not in _SPEED}
    text = json.dumps([_RULES, max_bytes, decides], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fetch_shard(
    urls: Sequence[str],
    path: Path,
    settings: FetchSettings,
    max_bytes: int,
    *,
    resolver: AbstractResolver | None = None,
    progress: Callable[[], Any] = lambda: None,
) -> Shard:
    """Fetch ``urls`` into ``path.bin`` and ``path.jsonl``, or what of them is not there soundly."""
    index, body = path.with_suffix(".jsonl"), path.with_suffix(".bin")
    hashes = [_hash(url.encode(errors="surrogatepass"))[:16] for url in urls]
    rows = _sound(index, body, hashes)
    missing = [number for number in range(len(urls)) if number not in rows]
    damaged = len(missing) if index.exists() else 0
    if missing or not index.exists():
        with whole_file(body) as part, part.open("wb") as stream:
            rows = _copied(rows, body, stream)

            async def run() -> None:
                asked = [urls[number] for number in missing]
                async for got in fetch_all(asked, settings, max_bytes, resolver=resolver):
                    number = missing[got.number]
                    rows[number] = _written(
                        stream, number, hashes[number], got.reason, got.detail, got.data
                    )
                    progress()

            asyncio.run(run())
        with whole_file(index) as part, part.open("wb") as stream:
            for number in sorted(rows):
                text = json.dumps(asdict(rows[number])).encode()
                stream.write(b"%08x %b\n" % (zlib.crc32(text), text))
    return Shard(body, [rows[number] for number in range(len(urls))], damaged)


def _sound(index: Path, body: Path, hashes: Sequence[str]) -> dict[int, Kept]:
    """The rows of an index that are as they were written, of these URLs, with their bytes."""
    rows: dict[int, Kept] = {}
    try:
        lines = index.read_bytes().split(b"\n")
        with body.open("rb") as stream:
            for line in lines:
                check, _, text = line.partition(b" ")
                if check != b"%08x" % zlib.crc32(text):
                    continue
                row = Kept(**json.loads(text))
                if row.number >= len(hashes) or row.url != hashes[row.number]:
                    continue
                stream.seek(row.offset)
                if row.reason or _hash(stream.read(row.size)) == row.sha256:
                    rows[row.number] = row
    except OSError:  # nothing is there yet, or the disk lost it
        return rows
    return rows


def _copied(rows: dict[int, Kept], body: Path, stream: BinaryIO) -> dict[int, Kept]:
    """The same rows with their bytes in ``stream``."""
    if not rows:
        return {}
    copied = {}
    with body.open("rb") as old:
        for number, row in rows.items():
            old.seek(row.offset)
            data = old.read(row.size)
            copied[number] = _written(stream, number, row.url, row.reason, row.detail, data)
    return copied


def _written(
    stream: BinaryIO, number: int, url: str, reason: str, detail: str, data: bytes
) -> Kept:
    offset = stream.tell()
    stream.write(data)
    return Kept(number, url, reason, detail, offset, len(data), _hash(data))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
