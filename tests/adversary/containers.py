"""Hostile containers, endless and from a seed: pools whose files contradict each other."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import random
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coti.core.errors import PoolError
from coti.core.file_rules import TABLE_SUFFIXES, kind_of_file
from coti.core.shown_names import escaped, printable
from coti.pool.entry import Entry
from coti.pool.ingest import ingest
from coti.pool.open_source import fingerprint_source, open_source
from coti.pool.pool_report import render_report
from coti.pool.reasons import REASONS, Rejected
from coti.pool.validation import validate
from coti.settings import PoolSettings
from tests.adversary.strings import hostile_strings

__all__ = ["attack", "hostile_containers", "ingest_whole"]


def attack(random: random.Random, folder: Path) -> list[str]:
    """A pool is entries with one reason or bytes each, or one sentence; every image file of a
    folder is the subject of a row, what its owner refuses is refused, nothing is written, and two
    readings see the same.
    """
    root = next(hostile_containers(random, folder))
    before = sorted(os.walk(root))
    try:
        source = open_source(str(root), PoolSettings())
        entries = list(source.entries())
    except PoolError as error:
        assert "\n" not in str(error), error
        return ["refused"]
    found = {entry.name: entry for entry in entries}
    assert len(found) == len(entries)
    assert not any(_SECRET in str(entry.extra) for entry in entries)
    for entry in entries:
        f"{entry.name}{entry.caption}{entry.detail}{entry.extra}".encode()
        assert bool(entry.reason) != (entry.read is not None)
        assert "refused" not in entry.name or entry.reason or entry.extra["opt_out"]
        if entry.read is not None:
            with contextlib.suppress(Rejected):
                entry.read()
    for path in root.rglob("*.png"):
        name = path.relative_to(root).as_posix()
        if source.kind != "img2dataset" and name.isascii():
            assert escaped(name) in found
            assert kind_of_file(name) != "system" or found[escaped(name)].reason == "other_file"
    assert fingerprint_source(str(root)) == fingerprint_source(str(root))
    if random.random() < 0.05:
        ingest_whole(root, entries)
    assert sorted(os.walk(root)) == before
    return [source.kind]


def ingest_whole(root: Path, entries: list[Entry]) -> None:
    """Each entry is a row of the manifest with one reason, and no text of it is code on a page."""
    settings = PoolSettings(workers=1, read_threads=1)
    pool = ingest(str(root), settings, 16)
    assert list(pool.manifest["source"]) == [printable(entry.name) for entry in entries]
    try:
        verdict = validate(pool.manifest, settings)
    except PoolError as error:
        assert "\n" not in str(error), error
        return
    assert len(verdict.accepted) + len(verdict.quarantined) == len(entries)
    assert set(verdict.quarantined["reason"]) <= set(REASONS)
    page = render_report(str(root), pool.kind, verdict, pool.pool_images)
    assert "<script" not in page
    assert "<img src=x" not in page


_STEMS = (
    "22",
    "22.05",
    "22.06",
    "x",
    "x.left",
    "x.seg",
    "ü",
    "u\u0308",
    "a b",
    "sub/22",
    "-",
    "x.y.z",
    "x\x01",
    "x\\x01",
    "x\n",
    "x\\n",
)
_SUFFIXES = (
    *(".png", ".png", ".jpg", ".PNG", ".txt", ".TXT", ".json", ".png.json", ".png.txt", ".caption"),
    *(".cls", ".npy", ".seg.png", "", ".mp3"),
    *(".png#2", ".png#1", ".png (2)", ".jpg_large", ".png~"),
)
_SYSTEM = ("Thumbs.db", "._x.png", "__MACOSX/._x.png", ".DS_Store", "desktop.ini", ".git/x.png")


def _png(random: random.Random) -> bytes:
    """A PNG of one colour, 20 to 40 pixels a side, or something else by that name."""
    if random.random() < 0.1:
        return random.choice(
            (b"", b"version https://git-lfs.github.com/spec/v1\n", random.randbytes(50), b"GIF89a")
        )
    side, row = random.randint(20, 40), b""
    row = b"\0" + random.randbytes(3) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


def _as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def _json(random: random.Random, strings: Iterator[str | bytes]) -> bytes:
    said = next(strings)
    text = said if isinstance(said, str) else said.decode("latin-1")
    value: object = random.choice(
        (
            {"caption": text, "opt_out": random.choice((True, False, "noai", ["noai"], text))},
            {"TEXT": [text, text], "punsafe": random.choice((0.1, 0.9, "0.9", "nan", text))},
            [text, text],
            [{"caption": text}, text, None],
            text,
            {text: text},
        )
    )
    data = json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return data if random.random() < 0.9 else data[: len(data) // 2]


def _files(random: random.Random) -> dict[str, bytes]:
    strings = hostile_strings(random)
    found: dict[str, bytes] = {}
    for _ in range(random.randint(1, 14)):
        name = random.choice(_STEMS) + random.choice(_SUFFIXES)
        if name.lower().endswith(".json"):
            found[name] = _json(random, strings)
        elif name.lower().endswith((".txt", ".caption")):
            found[name] = _as_bytes(next(strings))
        else:
            found[name] = _png(random)
    return found


def _folder(random: random.Random, root: Path) -> None:
    """Images, sidecars and a table, with links, pipes, system files and odd names among them."""
    files = _files(random)
    for name in random.sample(_SYSTEM, random.randint(0, 3)):
        files[name] = _png(random)
    if random.random() < 0.5:
        files[f"metadata{random.choice(('.csv', '.tsv', '.jsonl', '.parquet'))}"] = _table(
            random, [*files, "gone.png", "..\\x.png", "sub\\22.png"]
        )
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / os.fsdecode(random.randbytes(8).translate(None, b"/\0.") + b".png")).write_bytes(b"x")
    for number, target in enumerate(("/etc/passwd", "..", "none", "link1.png", root.name)):
        if random.random() < 0.2:
            (root / f"link{number}.png").symlink_to(target)
    if random.random() < 0.2:
        os.mkfifo(root / "pipe.png")


def _table(random: random.Random, names: list[str]) -> bytes:
    strings = hostile_strings(random)
    delimiter = random.choice((",", ";", "\t"))
    rows = [["file_name", "text", "noai"]]
    for name in random.choices(names, k=random.randint(0, 8)):
        said = next(strings)
        text = said if isinstance(said, str) else said.decode("latin-1")
        rows.append([name, text[:200], random.choice(("", "true", "noai"))])
    if random.random() < 0.4:
        lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
        lines.insert(0, random.choice(("{}", "{", "null", '{"text": "\\ud800"}')))
        text = "\n".join(lines)
    else:
        text = "\n".join(delimiter.join(row) for row in rows)
    encoding = random.choice(("utf-8", "utf-8-sig", "utf-16", "cp1251", "cp932", "utf-16-le"))
    return text.encode(encoding, "replace")


_REFUSALS: dict[str, tuple[object, ...]] = {
    "noai": (True, 1, "yes", "no_training; noai", {"train": True}),
    "robots": (
        "noai",
        "noarchive; none",
        '"noindex"',
        "unavailable_after:25 Jun 2010 15:00:00 GMT",
    ),
    "x_robots_tag": ("googlebot: all, *: noai", "max-snippet: 5 noai", "all; coti: NoImageAI"),
    "tdm": (1, "1, 1", "1;q=1", [0, 1], {"reservation": 1, "policy": "https://example.org/p"}),
    "content_usage": ("search=y; q=1, train-ai=n", {"train-ai": "n"}, ["ai=y", "ai=n"]),
}
_ALLOWING = ("", "all", "0", "search=y", "googlebot: noai")


def _refused(random: random.Random, root: Path) -> None:
    """An image that one of several columns refuses, in a table of any kind or a sidecar: columns
    alike or the same, values long or deep, cells that nobody asked for.
    """
    names, values = ["file_name", "text"], list[object](["refused.png", "a boot"])
    (root / "refused.png").write_bytes(_png(random))
    column = random.choice(tuple(_REFUSALS))
    place = random.randint(2, 5)
    for number in range(2, random.randint(place, 6) + 1):
        said = column if random.random() < 0.5 else random.choice(tuple(_REFUSALS))
        names.append(random.choice((said, said.upper(), said.title(), said.replace("_", "-"))))
        values.append(random.choice(_ALLOWING[:4]))
        if number == place:
            names[-1] = random.choice((column, column.upper()))
            values[-1] = random.choice(_REFUSALS[column])
            if random.random() < 0.3:
                values[-1] = [random.choice(_ALLOWING) * random.randint(0, 3_000), values[-1]]
    pairs = zip(names, values, strict=True)
    line = f"{{{', '.join(f'{json.dumps(n)}: {json.dumps(v)}' for n, v in pairs)}}}"
    kind = random.choice((".csv", ".jsonl", ".parquet", "sidecar"))
    if kind == "sidecar":
        (root / f"refused{random.choice(('', '.png'))}.json").write_text(line)
    elif kind == ".parquet" and not isinstance(values[place], list | dict):
        columns = [pa.array([value]) for value in values]
        pq.write_table(pa.Table.from_arrays(columns, names), root / "metadata.parquet")
    elif kind == ".csv" and not isinstance(values[place], list | dict):
        stream = io.StringIO()
        csv.writer(stream).writerows([names, values])
        surplus = "," * random.choice((0, 0, 1, 2, 5))
        text = stream.getvalue().rstrip() + f"{surplus}\n"
        (root / "metadata.csv").write_text(text.replace("a boot", random.choice(("a", "a, b"))))
    else:
        (root / "metadata.jsonl").write_text(line)


def _tar(random: random.Random, files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=random.choice((0, 1, 2))) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(random.choice(("", "", "", "./", "/", "../")) + name)
            member.size = len(data)
            if random.random() < 0.1:
                member.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE))
                member.linkname, member.size = "/etc/passwd", 0
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return stream.getvalue()


def _shards(random: random.Random, root: Path) -> None:
    """Tar archives: whole, one behind the other, cut, changed, packed, with monstrous headers."""
    deep = root / random.choice(("", "train"))
    deep.mkdir(exist_ok=True)
    for number in range(random.randint(1, 3)):
        data = bytearray(_tar(random, _files(random)))
        how = random.randrange(7)
        if how == 0:
            data += _tar(random, _files(random))
        elif how == 1:
            del data[random.randrange(len(data)) :]
        elif how == 2:
            for _ in range(random.randint(1, 9)):
                data[random.randrange(len(data))] = random.randrange(256)
        elif how == 3:
            data = bytearray(gzip.compress(data, mtime=0))
        elif how == 4:
            member = tarfile.TarInfo("x")
            member.type = random.choice((tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME))
            member.size = random.choice((8 << 30, (1 << 62), 5))
            data[:0] = member.tobuf(tarfile.GNU_FORMAT)
        name = f"{number:05d}{random.choice(('.tar', '.tar', '.TAR', '.tar.gz'))}"
        (deep / name).write_bytes(data)
    for name, data in _files(random).items() if random.random() < 0.5 else ():
        path = deep / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _img2dataset(random: random.Random, root: Path) -> None:
    """img2dataset's files with statuses, without its table, with files beside it."""
    for name, data in _files(random).items():
        path = root / random.choice(("00000", "00000", "beside")) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "00000_stats.json").write_bytes(
        random.choice((b'{"count": 3}', b"{", b"[]", b'{"count": 1e999}', b'{"count": "\\ud800"}'))
    )
    if random.random() < 0.5:
        (root / "00000.tar").write_bytes(_tar(random, _files(random)))


_SECRET = "ftp://example.org/from-outside"


def _url_tables(random: random.Random, root: Path) -> None:
    """Tables of URLs that nobody fetches, with pipes and with links to tables outside."""
    outside = root.with_name(f"{root.name} outside.csv")
    outside.write_text(f"url,text\n{_SECRET},x\n")
    for number in range(random.randint(1, 6)):
        path = root / random.choice(("", "train")) / f"{number}{random.choice(TABLE_SUFFIXES)}"
        path.parent.mkdir(exist_ok=True)
        how = random.randrange(5)
        if how == 0:
            os.mkfifo(path)
        elif how == 1:
            path.symlink_to(random.choice((outside, root, root / "none.csv")))
        elif how == 2:
            path.write_bytes(_table(random, ["a.png", "b.png"]))
        else:
            rows = [f'ftp://example.org/{n},"{n}"' for n in range(random.randint(0, 4))]
            path.write_text("\n".join(["url,text", *rows]))


_KINDS: tuple[Callable[[random.Random, Path], None], ...] = (
    _folder,
    _refused,
    _shards,
    _img2dataset,
    _url_tables,
)


def hostile_containers(random: random.Random, folder: Path) -> Iterator[Path]:
    """Pools in new folders below ``folder``, small enough to be read in a second each."""
    number = 0
    while True:
        root = folder / f"{number:06d}"
        root.mkdir(parents=True)
        random.choice(_KINDS)(random, root)
        yield root
        number += 1
