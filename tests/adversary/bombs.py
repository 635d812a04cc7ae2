"""Small inputs that would cost a reader without bounds gigabytes or hours.

    python -m tests.adversary.bombs FOLDER [NAME …]

reads each within :data:`MEMORY` and :data:`SECONDS` and says in JSON how it ended.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["BOMBS", "MEMORY", "SECONDS", "main"]

MEMORY = 300_000_000
"""Bytes of address space beyond what the libraries take."""
SECONDS = 5
"""Of computing, for one input."""

PNG = b"\x89PNG\r\n\x1a\n"


def _write(path: Path, *parts: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(p.encode() if isinstance(p, str) else p for p in parts))


def _header(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", size: int = -1) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(data) if size < 0 else size
    head = member.tobuf(tarfile.USTAR_FORMAT, errors="surrogateescape")
    return head + data + bytes(-len(data) % 512)


def _tar(path: Path, parts: Iterable[bytes]) -> None:
    _write(path, b"".join(parts), bytes(1024))


def _records(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    out = io.BytesIO()
    for name, value in pairs:
        rest = b" " + name + b"=" + value + b"\n"
        size = len(rest) + len(str(len(rest)))
        size += len(str(size)) - len(str(len(rest)))
        out.write(str(size).encode() + rest)
    return out.getvalue()


def _one_name(folder: Path) -> None:
    """Every member is called the same."""
    _tar(folder / "0.tar", [_header("a.png")] * 12_000)


def _samples(folder: Path) -> None:
    """One sample has thousands of images and thousands of sidecars that may mean each."""
    names = [f"x.{n}.png" for n in range(3_000)] + [f"x.a{n}.json" for n in range(3_000)]
    _tar(folder / "0.tar", [_header(name, data=b"{}") for name in names])


def _pax_everywhere(folder: Path) -> None:
    """Global headers hold for all that follow; each has a hundred thousand records."""
    many = _records((b"k%d" % n, b"v") for n in range(60_000))
    _tar(folder / "0.tar", [_header("g", tarfile.XGLTYPE, many)] + [_header("a.png")] * 1_500)


def _pax_in_all(folder: Path) -> None:
    """Each member has a header as large as one may be."""
    many = _records((b"k%d" % n, b"v") for n in range(60_000))
    _tar(folder / "0.tar", [_header("x", tarfile.XHDTYPE, many), _header("a.png")] * 5)


def _pax_of_nothing(folder: Path) -> None:
    """A header of records that have no name, up to its last byte."""
    _tar(
        folder / "0.tar", [_header("x", tarfile.XHDTYPE, b"2 " * 450_000 + b"="), _header("a.png")]
    )


def _archives(folder: Path) -> None:
    """Archives of one member, one behind the other."""
    _write(folder / "0.tar", (_header("a.png") + bytes(512)) * 4_000, bytes(1024))


def _pax_chain(folder: Path) -> None:
    """Headers that describe headers."""
    _tar(folder / "0.tar", [_header("x", tarfile.XHDTYPE, _records([(b"path", b"b")]))] * 2_000)


def _sparse_map(folder: Path) -> None:
    """A sparse member's map of millions of numbers."""
    said = _records(
        [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"a.png")]
    )
    numbers = b"2500000\n" + b"1\n" * 5_000_000
    _tar(folder / "0.tar", [_header("x", tarfile.XHDTYPE, said), _header("a.png", data=numbers)])


def _long_names(folder: Path) -> None:
    """Names of a megabyte, of what cannot be shown."""
    name = _header("n", tarfile.GNUTYPE_LONGNAME, b"\x01" * 900_000 + b".png\0")
    _tar(folder / "0.tar", [name + _header("a.png")] * 10)


def _members(folder: Path) -> None:
    """Nothing but headers."""
    _tar(folder / "0.tar", [_header(f"{n}.png") for n in range(5_000)])


def _open_quotes(folder: Path) -> None:
    """Each line's quote is open to the end of the file."""
    _write(folder / "metadata.csv", "file_name,text\n", 'a","\n' * 11_000)


def _bad_quotes(folder: Path) -> None:
    """Each line is no CSV by its quotes."""
    _write(folder / "metadata.csv", "file_name,text\n", '"a"b,c\n' * 11_000)


def _columns(folder: Path) -> None:
    """A header of a million columns, and rows of as many cells."""
    _write(folder / "metadata.csv", "file_name,text", ",a" * 200_000, "\n", "b," * 200_000)


def _commas(folder: Path) -> None:
    """Rows of nothing but commas."""
    _write(folder / "metadata.csv", "file_name,text\n", ("," * 2_000_000 + "\n") * 2)


def _short_lines(folder: Path) -> None:
    """A table of lines of two letters, none of which is a URL."""
    _write(folder / "t.csv", "url\n", "ab\n" * 13_000)


def _empty_lines(folder: Path) -> None:
    """A table of line ends."""
    _write(folder / "metadata.csv", "file_name,text\na.png,b", "\n" * 15_000_000)


def _odd_lines(folder: Path) -> None:
    """Lines of another encoding."""
    _write(folder / "metadata.csv", b"file_name,text\n", b"\xe9b\n" * 4_000_000)


def _one_json_line(folder: Path) -> None:
    """A line of millions of empty objects."""
    _write(folder / "metadata.jsonl", '{"file_name": "a.png", "text": [', "{}," * 7_000_000, "1]}")


def _json_rows(folder: Path) -> None:
    """Millions of rows of one digit."""
    _write(folder / "t.jsonl", '{"url": "http://a.b/c"}\n', "1\n" * 13_000)


def _deep_json(folder: Path) -> None:
    """Nested as deeply as Python reads, with half a character at the bottom."""
    for number, depth in enumerate((300, 480, 900, 980, 100_000)):
        for key in ("text", "noai", "license", "punsafe"):
            deep = "[" * depth + '"\\ud800"' + "]" * depth
            _write(folder / f"{number}{key}.json", f'{{"{key}": {deep}}}')
            _write(folder / f"{number}{key}.png", PNG)
    lines = (folder / name for name in ("3noai.json", "3text.json"))
    _write(folder / "metadata.jsonl", '{"file_name": "a.png"}\n', *(p.read_bytes() for p in lines))


def _long_lists(folder: Path) -> None:
    """A refusal with a million reasons."""
    for key in ("noai", "text", "license"):
        _write(folder / f"{key}.json", f'{{"{key}": [', "[]," * 400_000, "1]}")
        _write(folder / f"{key}.png", PNG)


def _long_numbers(folder: Path) -> None:
    """Numbers of a million digits."""
    for name, text in (("a", "1" * 3_000_000), ("b", "1" * 4_300), ("c", "1e" + "9" * 3_000_000)):
        _write(folder / f"{name}.json", f'{{"text": {text}, "punsafe": {text}}}')
        _write(folder / f"{name}2.json", f'{{"punsafe": "{text}", "aesthetic": "0.{text}"}}')
        _write(folder / f"{name}2.png", PNG)
        _write(folder / f"{name}.png", PNG)


def _repeated_cells(folder: Path) -> None:
    """A Parquet file that says the same 300 kilobytes in each of its rows."""
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000), ["x" * 300_000])
    _parquet(folder, file_name=[f"{n}.png" for n in range(3_000)], text=same)


def _same_rows(folder: Path) -> None:
    """A Parquet file of millions of equal rows."""
    _parquet(folder, url=pa.DictionaryArray.from_arrays(pa.array([0] * 5_000_000), ["x"]))


def _parquet(folder: Path, **columns: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "metadata.parquet", compression="zstd")


def _backslashes(folder: Path) -> None:
    """A name that climbs a million folders, and one of a million marks."""
    _write(folder / "metadata.jsonl", '{"file_name": "', "a/../" * 500_000, '"}\n')
    _write(folder / "a.txt", "a=" * 1_500_000)
    _write(folder / "a.png", PNG)


def _gzip(folder: Path) -> None:
    """Archives and tables, packed a thousandfold."""
    import gzip

    packed = gzip.compress(bytes(300_000_000))
    for name in ("a.tar", "b.tar.gz", "c.csv.gz", "d.png", "e.json"):
        _write(folder / name, packed)


BOMBS: dict[str, Callable[[Path], None]] = {
    made.__name__[1:]: made
    for made in (
        *(_one_name, _samples, _pax_everywhere, _pax_in_all, _pax_of_nothing, _pax_chain),
        *(_archives, _sparse_map, _long_names, _members, _open_quotes, _bad_quotes, _columns),
        *(_commas, _short_lines, _empty_lines, _odd_lines, _one_json_line, _json_rows),
        *(_deep_json, _long_lists, _long_numbers, _repeated_cells, _same_rows, _backslashes),
        _gzip,
    )
}
"""By name: writes the pool to a folder."""


def read(folder: Path) -> tuple[int, set[str]]:
    """How many entries a pool has, and how they end where they are read but not decoded."""
    from coti.core.errors import PoolError
    from coti.pool.open_source import open_source
    from coti.pool.reasons import Rejected
    from coti.settings import FetchSettings, PoolSettings

    number, ends = 0, set[str]()
    try:
        settings = PoolSettings(max_inputs=12_000, fetch=FetchSettings(attempts=1))
        for entry in open_source(str(folder), settings).entries():
            number += 1
            ends.add(entry.reason)
            if entry.read is not None:
                try:
                    entry.read()
                except Rejected as rejected:
                    ends.add(rejected.reason)
    except PoolError as error:
        assert "\n" not in str(error)
        ends.add("one sentence")
    return number, ends


def main(folder: Path, names: list[str]) -> None:
    """Read the bombs of these names, or all, and print a line of JSON for each."""
    import charset_normalizer  # noqa: F401  # what is loaded first when it is needed

    import coti.pool.fetch.fetched_shard
    import coti.pool.ingest  # noqa: F401

    def late(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt  # what no reader takes for the fault of its input

    signal.signal(signal.SIGPROF, late)
    for name in names or BOMBS:
        BOMBS[name](folder / name)
        size = sum(p.stat().st_size for p in (folder / name).rglob("*") if p.is_file())
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        before = time.process_time()
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        number, ends, failed = 0, set[str](), ""
        try:
            number, ends = read(folder / name)
        except BaseException as error:
            failed = type(error).__name__
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        said = {
            "name": name,
            "bytes": size,
            "seconds": round(time.process_time() - before, 2),
            "entries": number,
            "ends": sorted(ends),
            "failed": failed,
        }
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
