"""A corpus of malformed and hostile inputs, made here: no crash, no hang, no row lost."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from coti.core.decoding import FORMATS
from coti.core.errors import PoolError
from coti.pool import parquet_process
from coti.pool.entry import Entry
from coti.pool.ingest import ingest
from coti.pool.open_source import open_source
from coti.pool.pool_report import render_report
from coti.pool.validation import validate
from coti.settings import PoolSettings
from tests.coti.pool.conftest import bomb, encoded, image
from tests.coti.pool.test_shards import write_tar

NASTY = [
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\x00\x01\x02\x1b[31mred",
    "\u202egpj.exe",
    "\ud800 lone",
    "e\u0301" * 300,
    "𝕭𝖔𝖔𝖙 👢🏽",
    "'; DROP TABLE pool; --",
    "{{ 7 * 7 }}",
    "%s%s%n",
    "w" * 1_000_000,
    "\n\n\n",
    "a\tb,c\"d'e",
]


def mutants(seed: int, each: int) -> Iterator[tuple[str, bytes]]:
    """Files of every format with flipped, cut, repeated and swapped bytes."""
    dice = random.Random(seed)
    for kind in FORMATS:
        whole = encoded(image(seed, (96, 80)), kind)
        for number in range(each):
            data = bytearray(whole)
            how = number % 6
            if how == 0:  # the header
                for _ in range(dice.randint(1, 8)):
                    data[dice.randrange(min(64, len(data)))] = dice.randrange(256)
            elif how == 1:  # anywhere
                for _ in range(dice.randint(1, 40)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
            elif how == 2:
                del data[dice.randrange(len(data)) :]
            elif how == 3:  # sizes and offsets at their ends
                place = dice.randrange(min(200, len(data) - 8))
                data[place : place + 4] = dice.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
            elif how == 4:
                place = dice.randrange(len(data))
                data[place:place] = data[dice.randrange(len(data)) :]
            else:  # one format's beginning, another's rest
                other = encoded(image(seed + 1), dice.choice(FORMATS))
                data[dice.randrange(20) :] = other[dice.randrange(20) :]
            yield f"{kind.lower()}-{number:03d}-{how}.{kind.lower()}", bytes(data)


HEADERS: dict[str, bytes] = {
    "CUR": b"\0\0\2\0\1\0 \0\0\0\0\0",
    "DCX": b"\xb1\x68\xde\x3a\x10\0\0\0",
    "FITS": b"SIMPLE  =                    T" + b" " * 50,
    "FLI": b"\xff\xff\0\0\x11\xaf\xff\xff",
    "FTEX": b"FTEX\0\0\0\1",
    "GBR": b"\0\0\0\x1c\0\0\0\2\x7f\xff\xff\xff",
    "GRIB": b"GRIB\0\0\0\1",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "IMT": b"*\nwidth 9999999\nheight 9999999\n",
    "MCIDAS": b"\0\0\0\0\0\0\0\4",
    "MPEG": b"\0\0\1\xb3\xff\xff\xff",
    "PCD": b"PCD_" * 600,
    "PIXAR": b"\x80\xe8\0\0" + b"\xff" * 600,
    "PSD": b"8BPS\0\1" + bytes(6) + b"\0\x03\x7f\xff\xff\xff\x7f\xff\xff\xff\0\x08\0\3",
    "SUN": b"\x59\xa6\x6a\x95" + b"\x7f\xff\xff\xff" * 7,
    "WAL": b"wall" + b"\xff" * 60,
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + b"\x7f\xff" * 8,
    "XPM": b'/* XPM */\nstatic char *x[] = {"99999999 99999999 9999999 9",\n',
    "XVTHUMB": b"P7 332\n#END\n99999999 99999999 255\n",
}
"""Beginnings of formats that Pillow reads and cannot write."""


def every_format() -> dict[str, bytes]:
    """A small file of every format that Pillow writes, and the beginning of every other."""
    Image.init()
    found = {kind: header + bytes(range(256)) * 8 for kind, header in HEADERS.items()}
    for kind in sorted(Image.SAVE):
        for mode in ("RGB", "L", "P", "1"):
            refusals = contextlib.suppress(OSError, ValueError, KeyError, SystemError)
            with refusals, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow is about to drop some formats
                found[kind] = encoded(image(2, (64, 64)).convert(mode), kind)
                break
    return found


def header_mutants(seed: int, each: int) -> Iterator[tuple[str, bytes]]:
    """Every format with its first hundred bytes changed."""
    dice = random.Random(seed)
    for kind, whole in every_format().items():
        yield f"whole-{kind.lower()}.jpg", whole
        for number in range(each):
            data = bytearray(whole)
            for _ in range(dice.randint(1, 12)):
                place = dice.randrange(min(100, len(data)))
                data[place] = dice.choice([0, 1, 127, 128, 255, dice.randrange(256)])
            yield f"header-{kind.lower()}-{number:02d}.jpg", bytes(data)


def corpus(root: Path) -> int:
    """Write the corpus into a folder; returns how many files and rows are inputs."""
    root.mkdir(parents=True)
    files: dict[str, bytes] = {**dict(mutants(7, 120)), **dict(header_mutants(8, 10))}
    for kind in FORMATS:  # truncated at every kilobyte
        noise = encoded(image(3, (160, 160)).effect_spread(40), kind)
        for end in range(0, min(len(noise), 40_000), 1024):
            files[f"cut-{kind.lower()}-{end:06d}.{kind.lower()}"] = noise[:end]
    for side in (9_000, 30_000, 65_500):
        files[f"bomb-{side}.png"] = bomb(side)
    files["bomb.gif"] = b"GIF89a\xff\xff\xff\xff\xf7\x00\x00" + bytes(900)
    files["bomb.bmp"] = b"BM" + bytes(12) + (40).to_bytes(4, "little") + b"\xff\xff\x7f\x00" * 8
    for name, data in files.items():
        (root / name).write_bytes(data)
    names = [f"n{number}-\u202e\x07<b>ü{number}.png" for number in range(len(NASTY))]
    for number, name in enumerate(names):
        (root / name).write_bytes(encoded(image(1000 + number)))
    rows = [{"file_name": name, "text": text} for name, text in zip(names, NASTY, strict=True)]
    lost = [
        "../../../etc/passwd",
        "/etc/shadow",
        "C:\\boot.ini",
        "a/../../b",
        "",
        "gone.png",
        "\x00",
    ]
    rows += [{"file_name": name, "text": "lost"} for name in lost]
    lines = [json.dumps(row) for row in rows] + ["{broken", "[]", '"text"', "null", "[" * 5000]
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return len(files) + len(names) + len(lost) + 5


@pytest.mark.slow
def test_a_hostile_folder_ends_with_every_row_accounted_for(tmp_path: Path) -> None:
    """Over a thousand malformed inputs: every one is a row, good ones among them are found, the
    report shows them harmlessly, and nothing is written outside the work folder.
    """
    root, work = tmp_path / "pool", tmp_path / "work"
    assert len(every_format()) >= 40
    inputs = corpus(root)
    assert inputs >= 1500
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    settings = PoolSettings(workers=2, decode_timeout=60, max_quarantined_share=1.0)
    ingested = ingest(str(root), settings, 32, cache_dir=work)
    verdict = validate(ingested.manifest, settings)
    assert len(verdict.accepted) + len(verdict.quarantined) == inputs
    reasons = set(verdict.quarantined["reason"])
    assert {"truncated", "corrupt", "decompression_bomb", "outside_path", "bad_row"} <= reasons
    assert "decode_timeout" not in reasons
    good = verdict.manifest[verdict.manifest["source"].str.match(r"n\d+-")]
    assert len(good) == len(NASTY)
    assert set(good["reason"]) <= {"", "caption_too_long"}
    page = render_report("fuzz", ingested.kind, verdict, ingested.pool_images)
    assert "<script" not in page
    assert "onerror=alert(1)>" not in page.replace("&gt;", "")
    assert "<b>ü" not in page
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    changed = {path for path in after if before.get(path) != after[path]}
    assert all(path == tmp_path or path.is_relative_to(work) for path in changed)


def hostile_tar(path: Path, seed: int) -> None:
    """A tar archive with damage in its headers."""
    dice = random.Random(seed)
    members: dict[str, bytes | tarfile.TarInfo] = {
        f"{number}.png": encoded(image(number)) for number in range(4)
    }
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members["link.png"] = link
    members["../../out.png"] = encoded(image(9))
    write_tar(path, members)
    data = bytearray(path.read_bytes())
    for _ in range(dice.randint(1, 12)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    if seed % 3 == 0:
        del data[dice.randrange(len(data)) :]
    path.write_bytes(bytes(data))


@pytest.mark.slow
def test_hostile_archives_end_with_every_row_accounted_for(tmp_path: Path) -> None:
    """A hundred damaged archives with links and leaving names: no crash, nothing unpacked."""
    root = tmp_path / "pool"
    for seed in range(100):
        hostile_tar(root / f"{seed:05d}.tar", seed)
    before = sorted(tmp_path.rglob("*"))
    settings = PoolSettings(workers=2, max_quarantined_share=1.0)
    ingested = ingest(str(root), settings, 16)
    assert ingested.kind == "webdataset"
    assert len(ingested.manifest) >= 400
    assert set(ingested.manifest["status"]) == {"accepted", "quarantined"}
    assert sorted(tmp_path.rglob("*")) == before


def entries_or_refusal(root: Path) -> tuple[list[Entry], str]:
    """The inputs of a folder, or the one sentence that refuses it."""
    try:
        return list(open_source(str(root), PoolSettings()).entries()), ""
    except PoolError as error:
        sentence = str(error)
    assert sentence
    assert "\n" not in sentence
    return [], sentence


@pytest.fixture
def parquet_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet is read by the same code in this process: one of its own for each table is slow."""
    monkeypatch.setattr(
        parquet_process,
        "parquet_batches",
        lambda stream, said: parquet_process.answers(parquet_process.read_parquet(stream), said),
    )


@pytest.mark.usefixtures("parquet_here")
@pytest.mark.parametrize("seed", range(40))
def test_hostile_tables_are_read_or_refused_in_one_sentence(tmp_path: Path, seed: int) -> None:
    """Tables with damaged bytes, wrong types, odd columns: rows or a PoolError, nothing else."""
    dice = random.Random(seed)
    names = dice.sample(["file_name", "text", "text ", "FILE-NAME", "url", "punsafe", ""], 4)
    columns: dict[str, list[object]] = {
        name: [dice.choice([1, 2.5, None, "x.png", NASTY[dice.randrange(12)], True]) for _ in "abc"]
        for name in names
    }
    columns = {
        k: [str(v) if dice.random() < 0.9 else None for v in vs] for k, vs in columns.items()
    }
    kind = ("csv", "jsonl", "parquet", "tsv")[seed % 4]
    stream = io.BytesIO()
    table = pd.DataFrame(columns).map(
        lambda v: v.encode("utf-8", "replace").decode() if isinstance(v, str) else None
    )
    if kind == "parquet":
        table.to_parquet(stream)
    elif kind == "jsonl":
        table.to_json(stream, orient="records", lines=True)
    else:
        table.to_csv(stream, sep="," if kind == "csv" else "\t", index=False)
    data = bytearray(stream.getvalue())
    for _ in range(dice.randint(0, 30)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    (tmp_path / f"metadata.{kind}").write_bytes(data)
    (tmp_path / "x.png").write_bytes(encoded(image(1)))
    entries, refused = entries_or_refusal(tmp_path)
    assert refused or entries
    assert all(entry.name and (entry.reason or entry.read) for entry in entries)


ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
    "cp1251",
    "shift_jis",
)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("encoding", [*ENCODINGS, "gzip", "utf-7"])
def test_tables_in_a_wrong_encoding_are_rows_or_one_sentence(
    tmp_path: Path, kind: str, encoding: str
) -> None:
    """Whatever encoding a table has, and whatever stands in it, no row is lost without a word."""
    captions = [text for text in NASTY if len(text) < 1000 and "\ud800" not in text]
    rows = [{"file_name": f"{n}.png", "text": text} for n, text in enumerate(captions)]
    stream = io.StringIO()
    if kind == "jsonl":
        stream.write("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    else:
        pd.DataFrame(rows).to_csv(stream, sep="," if kind == "csv" else "\t", index=False)
    data = stream.getvalue().encode(encoding if encoding != "gzip" else "utf-8", "replace")
    (tmp_path / f"metadata.{kind}").write_bytes(gzip.compress(data) if encoding == "gzip" else data)
    for number in range(len(rows)):
        (tmp_path / f"{number}.png").write_bytes(encoded(image(1)))
    found, refused = entries_or_refusal(tmp_path)
    if refused:
        return
    assert {f"{n}.png" for n in range(len(rows))} <= {entry.name for entry in found}
    assert all(entry.reason or entry.read for entry in found)


WRONG_COLUMNS: dict[str, pa.Array] = {
    "numbers": pa.array([1, 2, 3]),
    "floats": pa.array([1.5, float("nan"), float("inf")]),
    "lists": pa.array([["a"], [], None]),
    "structs": pa.array([{"a": 1}, {"a": 2}, None]),
    "bytes": pa.array([b"\xff\xfe", b"0.png", None]),
    "dates": pa.array([0, 1, 2**40], pa.timestamp("s")),
    "nulls": pa.nulls(3),
    "booleans": pa.array([True, False, None]),
    "categories": pa.array(["0.png", "0.png", None]).dictionary_encode(),
    "times far away": pa.array([2**62, 0, 1], pa.timestamp("ns")),
    "lone surrogates": pa.array(["0.png", "x" * 70_000, "\u0000"]),
}


@pytest.mark.usefixtures("parquet_here")
@pytest.mark.parametrize("role", ["file_name", "text", "url", "punsafe"])
@pytest.mark.parametrize("wrong", list(WRONG_COLUMNS))
def test_parquet_with_wrong_types_is_rows_or_one_sentence(
    tmp_path: Path, role: str, wrong: str
) -> None:
    """A column of any type in any place: each row is an input, or the table is refused by name."""
    columns = {"file_name": pa.array(["0.png", "1.png", "2.png"]), role: WRONG_COLUMNS[wrong]}
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    (tmp_path / "0.png").write_bytes(encoded(image(1)))
    found, refused = entries_or_refusal(tmp_path)
    if refused:
        return
    assert {entry.name for entry in found if entry.name == "0.png"} == {"0.png"}
    assert all(entry.reason or entry.read for entry in found)


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["file_name", "text", "text"], False),
        (["file_name", "File-Name", "FILE_NAME"], False),
        (["text", "url", "similarity"], True),
        ([], True),
        (["", " ", "\t"], True),
    ],
)
def test_duplicate_and_missing_columns_are_said(
    tmp_path: Path, names: list[str], refused: bool
) -> None:
    """A column twice is a note, a missing one a sentence that names the remedy."""
    lines = [",".join(names), ",".join(["0.png"] * max(len(names), 1))]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    (tmp_path / "0.png").write_bytes(encoded(image(1)))
    source = open_source(str(tmp_path), PoolSettings())
    if refused:
        with pytest.raises(PoolError, match="no column of file names: call it one of"):
            list(source.entries())
        return
    assert [entry.name for entry in source.entries()] == ["0.png"]
    assert any("twice" in note for note in source.notes)
