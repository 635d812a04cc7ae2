"""From a source to a manifest and sanitised images: list, read, hash, decode, measure."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.core.progress import progress_bar
from coti.core.redaction import redacted
from coti.core.shown_names import printable
from coti.core.surrogates import valid_text
from coti.core.whole_files import whole_file
from coti.core.work import told
from coti.pool.decode.decoder import Decoded, Limits, small_size
from coti.pool.decode.quality import quality_columns
from coti.pool.decode.sandbox import DecodePool
from coti.pool.entry import CountedSource, Entry, PoolSource
from coti.pool.local_files import temporary_folder
from coti.pool.manifest import ACCEPTED, QUARANTINED, check_sums, to_frame
from coti.pool.open_source import open_source
from coti.pool.pool_images import ImageWriter, PoolImages, encode_png
from coti.pool.reasons import Rejected
from coti.pool.refusals import refusal_in_image
from coti.pool.untrusted_text import clean_caption
from coti.settings import PoolSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INPUT", "IngestedPool", "ingest", "shown_name"]

INPUT = "pool input"
"""What :mod:`coti.core.work` is told of an input that is read, decoded and written."""


@dataclass
class IngestedPool:
    """What came of a source: the manifest, and the images that could be decoded."""

    manifest: pd.DataFrame
    """A row an input, columns as in :data:`coti.pool.manifest.COLUMNS`."""
    pool_images: PoolImages
    kind: str
    """What the source was taken for."""
    notes: list[str] = field(default_factory=list)
    source: PoolSource | None = None
    """Kept, since temporary files go with it."""


@dataclass
class _Result:
    entry: Entry
    sha256: str = ""
    size: int = 0
    decoded: Decoded | None = None
    png: bytes = b""
    whole: bytes = b""
    reason: str = ""
    detail: str = ""


def ingest(
    source: str | PoolSource,
    settings: PoolSettings,
    resolution: int,
    *,
    fit: Fit | None = None,
    cache_dir: str | Path | None = None,
    fetch_dir: str | Path | None = None,
    fingerprint: str = "",
) -> IngestedPool:
    """Read every input of ``source``, opened or by its name, and decode it in worker processes.

    Images are EXIF-rotated, RGB, and brought to ``resolution`` pixels a side by ``fit``: without
    one they are cut to the centre square.
    ``cache_dir`` keeps what was fetched and the images, ``fetch_dir`` what was fetched alone;
    without them they live as long as the result. Rows that could not be decoded are already in
    quarantine; what decoded is judged by :func:`coti.pool.validation.validate`,
    which also refuses a pool without a good row. Raises :class:`PoolError` where there is nothing
    to read, or where what was read is not what ``fingerprint`` says, if it is given.
    """
    if isinstance(source, str):
        pool = open_source(source, settings, cache_dir=fetch_dir or cache_dir)
    else:
        pool, source = source, source.kind
    folder = Path(cache_dir) if cache_dir is not None else temporary_folder(pool, "coti-pool-")
    path = folder / "images.parquet"
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    names: dict[str, int] = {}
    # More than were expected, and tqdm leaves the total out.
    total = pool.count() or None if isinstance(pool, CountedSource) else None
    progress = progress_bar(what="reading the pool", total=total, unit=" images")
    limits = Limits(
        resolution,
        settings.max_pixels,
        first_frame=settings.animated == "first_frame",
        fit=fit or Fit(),
    )
    with progress, whole_file(path) as part:
        writer = ImageWriter(part)
        for result in told(INPUT, _results(pool.entries(), limits, settings)):
            row = _row(result, settings, seen, names)
            if result.png:
                writer.add(row["id"], result.png, result.whole)
            rows.append(row)
            if len(rows) > settings.max_inputs:
                raise PoolError(
                    f"The pool {source!r} has more than {settings.max_inputs} inputs: give a part "
                    "of it, or raise pool_rules.max_inputs, at some kilobytes of memory each."
                )
            progress.update()
        writer.close()
        if fingerprint and pool.fingerprint() != fingerprint:
            raise PoolError(
                f"The pool {source!r} changed while it was read: run again when nobody writes to "
                "it."
            )
    for name, values in quality_columns([row.pop("signals") for row in rows]).items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    manifest = to_frame(rows)
    check_sums(manifest, len(rows))
    return IngestedPool(manifest, PoolImages(path), pool.kind, list(pool.notes), pool)


def _results(entries: Iterable[Entry], limits: Limits, settings: PoolSettings) -> Iterator[_Result]:
    """Read, hash and decode with many threads; results in the order of the entries."""
    workers = settings.workers or os.cpu_count() or 1
    threads = workers + settings.read_threads
    with (
        DecodePool(
            limits,
            workers=workers,
            timeout=settings.decode_timeout,
            memory=settings.decode_memory,
        ) as decoders,
        ThreadPoolExecutor(threads, thread_name_prefix="pool") as pool,
    ):
        waiting: deque[Future[_Result]] = deque()
        try:
            for entry in entries:
                waiting.append(pool.submit(_process, entry, decoders, limits.resolution, settings))
                if len(waiting) >= 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _process(
    entry: Entry, decoders: DecodePool, resolution: int, settings: PoolSettings
) -> _Result:
    result = _Result(entry, reason=entry.reason, detail=entry.detail)
    if entry.reason or entry.read is None:
        return result
    try:
        data = entry.read()
        result.sha256, result.size = hashlib.sha256(data).hexdigest(), len(data)
        if refusal := refusal_in_image(data, settings.fetch):
            raise Rejected("opt_out", refusal)
        result.decoded = decoders.decode(data)
        result.png = encode_png(result.decoded.pixels, resolution, resolution)
        if result.decoded.whole:
            size = small_size(result.decoded.width, result.decoded.height)
            result.whole = encode_png(bytes.fromhex(result.decoded.whole), *size)
        result.decoded.pixels, result.decoded.whole = b"", ""
        result.detail = "; ".join(filter(None, [entry.detail, result.decoded.detail]))
    except Rejected as rejected:
        result.reason, result.detail = rejected.reason, rejected.detail
    return result


def _row(
    result: _Result, settings: PoolSettings, seen: dict[str, int], names: dict[str, int]
) -> dict[str, Any]:
    """A manifest row. The id is the content's hash, with a number for exact copies; a name that
    another row has gets a number, too.
    """
    entry, decoded = result.entry, result.decoded
    # sources of other people's are no more to be trusted than what they read
    name = shown_name(entry, names)
    content = result.sha256 or "no content: " + hashlib.sha256(name.encode()).hexdigest()
    base = result.sha256[:20] or "x" + hashlib.sha256(name.encode()).hexdigest()[:19]
    seen[content] = seen.get(content, 0) + 1
    caption, length = clean_caption(entry.caption, settings.max_caption_length)
    cut = "caption cut" if length > settings.max_caption_length else ""
    return {
        **{k: valid_text(v) if isinstance(v, str) else v for k, v in entry.extra.items()},
        "id": base if seen[content] == 1 else f"{base}-{seen[content]}",
        "url": redacted(valid_text(entry.extra.get("url", ""))),
        "source": name,
        "file": redacted(printable(entry.file)),
        "member": redacted(printable(entry.member)),
        "offset": entry.offset,
        "mask": redacted(printable(entry.mask)),
        "caption": caption,
        "caption_length": length,
        "sha256": result.sha256,
        "bytes": result.size,
        "width": decoded.width if decoded else 0,
        "height": decoded.height if decoded else 0,
        "format": decoded.format if decoded else "",
        "mode": decoded.mode if decoded else "",
        "status": QUARANTINED if result.reason else ACCEPTED,
        "reason": result.reason,
        "detail": redacted(printable("; ".join(filter(None, [result.detail, cut])))),
        "phash": decoded.phash if decoded else "",
        "thumbnail": decoded.thumbnail if decoded else "",
        "signals": decoded.signals if decoded else None,
    }


def shown_name(entry: Entry, taken: dict[str, int]) -> str:
    """An entry's name as its row has it; takes it.

    Where another row has it already, it is the first of ``name#2``, ``name#3``, … that is free.
    """
    found = name = redacted(printable(entry.name))
    while found in taken:
        taken[name] += 1
        found = f"{name}#{taken[name]}"
    taken[found] = 1
    return found
