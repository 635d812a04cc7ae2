"""A stranger's Parquet file, parsed in a process of its own.

    python -m coti.pool.parquet_process < FILE

The format is one more large parser in C++, and a few kilobytes of it may claim gigabytes. The child
gets the open file and nothing else, is confined as the decoding workers are, and answers with JSON
and the bytes of image cells. Rows, cells and all that is unpacked are bounded by the file's size.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import IO, Any, BinaryIO

from tqdm import tqdm

from coti.core.checkout import PLACE
from coti.core.errors import PoolError
from coti.core.surrogates import valid_text
from coti.core.text_files import decode_text, object_of
from coti.pool.refusals import REFUSAL_COLUMNS
from coti.pool.table_columns import REFUSING, column_of, match_columns

__all__ = ["Batch", "answers", "parquet_batches", "read_parquet"]

_FRAME = struct.Struct("!II")
"""Bytes of the JSON and of the image cells that follow."""
_MEMORY = 2_000_000_000
_TIMEOUT = 120.0
"""Seconds without an answer."""
_ALTOGETHER = 1_800.0
"""Seconds of waiting for all answers; what is done with them does not count."""
_LARGEST_FRAME = 120_000_000
_BATCH_BYTES = 8_000_000
"""Of a batch as the file describes it, and of what is sent at once, but for a single larger row."""
_BATCH_ROWS = 4_096
_LARGEST_CELL = 100_000_000
_UNPACKED = (64_000_000, 100)
"""Bytes that a file may unpack to: so many, and so many times its own size more."""
_MOST_VALUES = 100
"""Of a list or a mapping; a row is not judged by some of the values that may refuse it."""
_JUDGING = frozenset((*REFUSING, *REFUSAL_COLUMNS))


@dataclass
class Batch:
    """Rows of cells in the columns' order, and what is wrong with each; empty where nothing is."""

    rows: list[list[Any]]
    problems: list[str]


def parquet_batches(stream: BinaryIO, said: str) -> Iterator[list[str] | Batch]:
    """The columns' names, then the rows of those that are ours, in batches.

    ``stream`` is an open file of this machine, ``said`` its name for messages. Raises
    :class:`PoolError` where it is no Parquet file, or one that claims too much.
    """
    root = str(PLACE)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__],
        stdin=stream,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **kept,
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield from answers(_frames(_Patient(process.stdout.fileno())), said)
        except (EOFError, OSError, ValueError, KeyError, TypeError, struct.error) as error:
            slow = isinstance(error, TimeoutError)
            why = "takes too long" if slow else "ended its reader, out of memory?"
            raise PoolError(
                f"The table {said} is not a readable Parquet file ({why}): write it anew."
            ) from error
        finally:
            process.kill()


def answers(
    frames: Iterable[tuple[dict[str, Any], bytes]], said: str
) -> Iterator[list[str] | Batch]:
    """What :func:`read_parquet` says, as :func:`parquet_batches` gives it."""
    for header, cells in frames:
        if "error" in header:
            raise PoolError(
                f"The table {said} is not a readable Parquet file ({header['error']}): write it "
                "anew."
            )
        if "open_ways" in header:
            if header["open_ways"]:
                _warn(str(header["open_ways"])[:200])
        elif "names" in header:
            yield [str(name) for name in header["names"]]
        elif "rows" in header:
            rows = [[_whole(cell, cells) for cell in row] for row in header["rows"]]
            yield Batch(rows, [str(problem) for problem in header["problems"]])
        else:
            return


@cache
def _warn(found: str) -> None:
    """Say, once, that the child is less confined than it should be."""
    tqdm.write(
        "Parquet files are read in a process that is less confined than it should be "
        f"({found}): read what you do not trust on another machine.",
        file=sys.stderr,
    )


def _frames(stream: _Patient) -> Iterator[tuple[dict[str, Any], bytes]]:
    while True:
        sizes = _FRAME.unpack(stream.exactly(_FRAME.size))
        if sum(sizes) > _LARGEST_FRAME:
            raise ValueError("too much at once")
        header = json.loads(stream.exactly(sizes[0]))
        yield dict(header), stream.exactly(sizes[1])


class _Patient:
    """A pipe that is waited for so long at a time, and so long altogether."""

    def __init__(self, handle: int) -> None:
        self._handle, self._left = handle, _ALTOGETHER

    def exactly(self, size: int) -> bytes:
        """So many bytes; EOFError where there are fewer, TimeoutError where they do not come."""
        parts: list[bytes] = []
        while size > 0:
            started = time.monotonic()
            ready = select.select([self._handle], [], [], max(0.0, min(_TIMEOUT, self._left)))[0]
            self._left -= time.monotonic() - started
            if not ready:
                raise TimeoutError
            part = os.read(self._handle, min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _whole(cell: Any, cells: bytes) -> Any:
    """A cell as it was; what encoding it has is found out here, not in the confined process."""
    if isinstance(cell, list):
        return [_whole(one, cells) for one in cell]
    if isinstance(cell, dict) and "object" in cell:
        return object_of([(str(name), _whole(one, cells)) for name, one in cell["object"]])
    if isinstance(cell, dict):
        start, size = int(cell["at"]), int(cell["size"])
        data = cells[start : start + size]
        return data if cell["image"] else decode_text(data).text
    return cell


def read_parquet(stream: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What the child answers, frame by frame: names, rows, end; or an error."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    try:
        file = pq.ParquetFile(stream, pre_buffer=False)
        metadata, names = file.metadata, list(file.schema_arrow.names)
        ours, numbered = match_columns(names), list(_nth(names))
        wanted = [numbered[place] for place in ours.values()]
        yield {"names": [valid_text(name) for name in names]}, b""
        if metadata.num_rows > size:
            raise ValueError(f"it claims {metadata.num_rows} rows in {size} bytes")
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        weight = sum(group.total_byte_size for group in groups) // max(metadata.num_rows, 1)
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(weight, 1)))
        left = _UNPACKED[0] + _UNPACKED[1] * size
        columns = list(dict.fromkeys(names[place] for place in ours.values()))
        for batch in file.iter_batches(rows, columns=columns, use_threads=False):
            problems = [""] * batch.num_rows
            there = _nth(batch.schema.names)
            values = [_cells(batch.column(there[which]), problems, which[0]) for which in wanted]
            start, cells, ready = 0, bytearray(), list[list[Any]]()
            sent = 0
            for number in range(batch.num_rows):
                before = len(cells)
                row = list[Any]()
                for n, column in zip(ours, values, strict=True):
                    row.append(_sent(column[number], n == "image", cells))
                    if column_of(n) in _JUDGING and _width(column[number]) > _MOST_VALUES:
                        problems[number] = f"more than {_MOST_VALUES} values under {column_of(n)}"
                ready.append(row)
                weight = len(cells) - before + sum(map(_size, ready[-1]))
                left, sent = left - weight, sent + weight
                if left < 0:
                    raise ValueError(f"it unpacks to more than {_UNPACKED[1]} times its size")
                if sent > _BATCH_BYTES or number == batch.num_rows - 1:
                    yield {"rows": ready, "problems": problems[start : number + 1]}, bytes(cells)
                    start, cells, ready, sent = number + 1, bytearray(), [], 0
        yield {}, b""
    except MemoryError:
        yield {"error": f"it needs more than {_MEMORY} bytes of memory"}, b""
    except (pa.ArrowException, UnicodeDecodeError, OSError, ValueError, OverflowError) as error:
        yield {"error": " ".join(str(error).split())[:160]}, b""


def _nth(names: list[str]) -> dict[tuple[str, int], int]:
    """The place of each name's first, second, … column."""
    found: dict[str, int] = {}
    places: dict[tuple[str, int], int] = {}
    for place, name in enumerate(names):
        places[name, found.setdefault(name, 0)] = place
        found[name] += 1
    return places


def _cells(column: Any, problems: list[str], name: str) -> list[Any]:
    """Values of a column; text as bytes, since nothing made sure that it is text."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    try:
        return list(column.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError):
        values: list[Any] = []
        for place, cell in enumerate(column):
            try:
                values.append(cell.as_py())
            except (UnicodeDecodeError, ValueError, OverflowError):
                values.append(None)
                problems[place] = f"a cell that cannot be read under {valid_text(name)[:100]}"
        return values


def _sent(cell: Any, image: bool, cells: bytearray) -> Any:
    """A cell as it stands in the JSON; an image's bytes, and what is no UTF-8, beside it."""
    if isinstance(cell, bytes):
        if len(cell) > _LARGEST_CELL:
            raise ValueError(f"it has a cell of {len(cell)} bytes")
        if not image:
            with contextlib.suppress(UnicodeDecodeError):
                return cell.decode()
        cells += cell
        return {"at": len(cells) - len(cell), "size": len(cell), "image": image}
    if isinstance(cell, str):
        return valid_text(cell)
    if isinstance(cell, list):
        if cell and isinstance(cell[0], tuple):  # a map
            return _sent_pairs(cell, cells)
        return [_sent(one, False, cells) for one in cell[:_MOST_VALUES]]
    if isinstance(cell, dict) and image and isinstance(cell.get("bytes"), bytes):
        return _sent(cell["bytes"], True, cells)  # the Hugging Face image type
    if isinstance(cell, dict):
        return _sent_pairs(list(cell.items()), cells)
    if isinstance(cell, Decimal):
        return float(cell)
    return cell if isinstance(cell, bool | int | float) else None


def _sent_pairs(pairs: list[tuple[Any, Any]], cells: bytearray) -> Any:
    said = [(valid_text(str(name)), _sent(one, False, cells)) for name, one in pairs[:_MOST_VALUES]]
    return {"object": said}


def _width(cell: Any) -> int:
    """Values of the longest list or mapping in a cell."""
    parts = list(cell.values()) if isinstance(cell, dict) else cell
    return max(len(parts), *map(_width, parts), 0) if isinstance(parts, list | tuple) else 0


def _size(cell: Any) -> int:
    if isinstance(cell, dict):
        return 8 + sum(len(name) + _size(one) for name, one in cell.get("object", ()))
    if isinstance(cell, list):
        return 8 + sum(map(_size, cell))
    return len(cell) if isinstance(cell, str) else 8


def main() -> None:
    """Answer on standard output what the Parquet file on standard input says."""
    from coti.pool.decode.confinement import confine

    _load_libraries()
    open_ways = {"open_ways": confine(_MEMORY)}
    try:
        with os.fdopen(0, "rb") as stream, os.fdopen(1, "wb") as out:
            for header, cells in chain([(open_ways, b"")], read_parquet(stream)):
                text = json.dumps(header).encode()
                out.write(_FRAME.pack(len(text), len(cells)) + text + cells)
                out.flush()
    except BrokenPipeError:
        os._exit(0)


def _load_libraries() -> None:
    """Import and use everything once: a confined process cannot open a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({"file_name": [b"\xff", b"a"], "text": ["a", None]}), stream)
    list(read_parquet(stream))


if __name__ == "__main__":
    main()
