"""A corpus of malformed and hostile inputs, made here: no crash, no hang, no row lost."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from coti.pool import ingest, validate
from coti.pool.decode import FORMATS
from coti.pool.report import render_report
from coti.settings import PoolSettings
from tests.coti.pool.conftest import bomb, encoded, picture
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
        whole = encoded(picture(seed, (96, 80)), kind)
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
                other = encoded(picture(seed + 1), dice.choice(FORMATS))
                data[dice.randrange(20) :] = other[dice.randrange(20) :]
            yield f"{kind.lower()}-{number:03d}-{how}.{kind.lower()}", bytes(data)


def corpus(root: Path) -> int:
    """Write the corpus into a folder; returns how many files and rows are inputs."""
    root.mkdir(parents=True)
    files: dict[str, bytes] = dict(mutants(7, 120))
    for kind in FORMATS:  # truncated at every kilobyte
        noise = encoded(picture(3, (160, 160)).effect_spread(40), kind)
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
        (root / name).write_bytes(encoded(picture(1000 + number)))
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
    inputs = corpus(root)
    assert inputs >= 1000
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
    page = render_report("fuzz", ingested.kind, verdict, ingested.pictures)
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
        f"{number}.png": encoded(picture(number)) for number in range(4)
    }
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members["link.png"] = link
    members["../../out.png"] = encoded(picture(9))
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


@pytest.mark.parametrize("seed", range(40))
def test_hostile_tables_are_read_or_refused_in_one_sentence(tmp_path: Path, seed: int) -> None:
    """Tables with damaged bytes, wrong types, odd columns: rows or a PoolError, nothing else."""
    from coti.errors import PoolError
    from coti.pool.sources import open_source

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
    (tmp_path / "x.png").write_bytes(encoded(picture(1)))
    refused, entries = "", []
    try:
        entries = list(open_source(str(tmp_path), PoolSettings()).entries())
    except PoolError as error:
        refused = str(error)
    assert "\n" not in refused
    assert refused or entries
    assert all(entry.name and (entry.reason or entry.read) for entry in entries)
