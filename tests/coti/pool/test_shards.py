from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.core.file_rules import kind_of_file
from coti.pool.entry import Entry
from coti.pool.ingest import ingest
from coti.pool.open_source import open_source
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image

IMAGE = encoded(image(1), "JPEG")


def write_tar(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    """A tar archive with the members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member that is no file."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def entries(path: Path, kind: str) -> list[Entry]:
    """The inputs of a source of the expected kind."""
    source = open_source(str(path), PoolSettings())
    assert source.kind == kind
    return list(source.entries())


def test_samples_are_images_with_their_captions(tmp_path: Path) -> None:
    """Members with one key are a sample: the text captions, the JSON adds scores."""
    tar = write_tar(
        tmp_path / "00000.tar",
        {
            "a/000.jpg": IMAGE,
            "a/000.txt": b"Stiefel",
            "a/000.json": json.dumps({"punsafe": 0.5, "url": "http://x/y"}).encode(),
            "a/001.png": IMAGE,
            "a/001.json": b'{"caption": "second"}',
            "a/002.txt": b"nothing to see",
        },
    )
    found = entries(tar, "webdataset")
    assert [(e.name, e.caption, e.reason) for e in found] == [
        ("00000.tar/a/000.jpg", "Stiefel", ""),
        ("00000.tar/a/001.png", "second", ""),
        ("00000.tar/a/002.txt", "", "other_file"),
    ]
    assert found[0].read is not None
    assert found[0].read() == IMAGE
    assert found[0].extra == {"punsafe": 0.5, "url": "http://x/y"}


def test_hostile_members_are_rows_and_nothing_is_unpacked(tmp_path: Path) -> None:
    """Absolute and leaving names, links, devices and repeated names each have their reason."""
    tar = write_tar(
        tmp_path / "pool" / "00000.tar",
        {
            "good.jpg": IMAGE,
            "/etc/cron.d/x.jpg": IMAGE,
            "../../x.jpg": IMAGE,
            "link.jpg": special("link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            "hard.jpg": special("hard.jpg", tarfile.LNKTYPE, "../../secret"),
            "device.jpg": special("device.jpg", tarfile.CHRTYPE),
            "pipe.jpg": special("pipe.jpg", tarfile.FIFOTYPE),
        },
    )
    before = sorted(tmp_path.rglob("*"))
    found = entries(tar.parent, "webdataset")
    assert {e.name.removeprefix("00000.tar/"): e.reason for e in found} == {
        "good.jpg": "",
        "/etc/cron.d/x.jpg": "outside_path",
        "../../x.jpg": "outside_path",
        "link.jpg": "not_regular",
        "hard.jpg": "not_regular",
        "device.jpg": "not_regular",
        "pipe.jpg": "not_regular",
    }
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_cut_archive_keeps_what_is_whole_and_says_that_it_is_cut(
    tmp_path: Path, share: float
) -> None:
    """Whole members are read; the cut is a row of its own or a reason of the member it hit."""
    tar = write_tar(tmp_path / "00000.tar", {f"{n}.jpg": IMAGE for n in range(5)})
    data = tar.read_bytes()
    body = 5 * (512 + -(-len(IMAGE) // 512) * 512)
    tar.write_bytes(data[: int(share * body)])
    found = entries(tar, "webdataset")
    assert found[-1].reason == "broken_shard"
    whole = [e for e in found if e.read is not None]
    for entry in whole[: int(share * 5)]:
        assert entry.read is not None
        assert entry.read() == IMAGE


def test_something_that_is_no_archive_is_a_broken_shard(tmp_path: Path) -> None:
    """A text named .tar is one row with a reason."""
    (tmp_path / "00000.tar").write_bytes(b"not a tar archive" * 100)
    assert [e.reason for e in entries(tmp_path, "webdataset")] == ["broken_shard"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_monstrous_header_is_a_broken_shard(tmp_path: Path, kind: bytes) -> None:
    """An extended header is read whole, so one of 8 GB is not; what is before it is."""
    tar = write_tar(tmp_path / "0.tar", {"a.jpg": IMAGE})
    head = special("x", kind)
    head.size = 8 << 30
    data = tar.read_bytes().rstrip(b"\0")
    data += bytes(-len(data) % 512)
    tar.write_bytes(data + head.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    found = entries(tmp_path, "webdataset")
    assert [(e.name, e.reason) for e in found] == [("0.tar/a.jpg", ""), ("0.tar", "broken_shard")]
    assert "an extended header of 8589934592 bytes" in found[1].detail


def test_shards_by_any_name_and_what_lies_beside_them(tmp_path: Path) -> None:
    """`.TAR`, a folder down; packed ones and pointers say what to do; other files are rows."""
    write_tar(tmp_path / "train/0.TAR", {"./a.jpg": IMAGE, "./a.cls": b"1", "._a.jpg": b"x"})
    (tmp_path / "train/1.tar.gz").write_bytes(gzip.compress(b"x" * 9000))
    (tmp_path / "train/2.tar").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x")
    (tmp_path / "beside.png").write_bytes(IMAGE)
    (tmp_path / "beside.txt").write_bytes(b"of beside")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    found = {e.name: e for e in entries(tmp_path, "webdataset")}
    assert {name: (entry.caption, entry.reason) for name, entry in found.items()} == {
        "Thumbs.db": ("", "other_file"),
        "beside.png": ("of beside", ""),
        "train/0.TAR/./a.jpg": ("", ""),
        "train/0.TAR/._a.jpg": ("", "other_file"),
        "train/1.tar.gz": ("", "broken_shard"),
        "train/2.tar": ("", "broken_shard"),
    }
    assert "gunzip" in found["train/1.tar.gz"].detail
    assert "git lfs pull" in found["train/2.tar"].detail


def stats(path: Path, count: int) -> None:
    """What img2dataset writes when a shard is done."""
    path.write_text(json.dumps({"count": count, "successes": count, "failed_to_download": 0}))


def test_img2dataset_rows_are_accounted_for(tmp_path: Path) -> None:
    """Downloaded rows are read, failed ones have their message, lost and extra images show."""
    keys = [f"00000000{n}" for n in range(5)]
    write_tar(tmp_path / "00000.tar", {f"{k}.jpg": IMAGE for k in [keys[0], keys[1], "000000009"]})
    pd.DataFrame(
        {
            "url": [f"http://x/{n}" for n in range(5)],
            "caption": [f"c{n}" for n in range(5)],
            "key": keys,
            "status": ["success", "success", "failed_to_download", "failed_to_resize", "success"],
            "error_message": [
                None,
                None,
                "HTTP Error 404",
                "Use of image disallowed by X-Robots",
                None,
            ],
            "width": [1] * 5,
        }
    ).to_parquet(tmp_path / "00000.parquet")
    stats(tmp_path / "00000_stats.json", 5)
    found = entries(tmp_path, "img2dataset")
    assert [(e.name, e.caption, e.reason, e.detail) for e in found] == [
        ("00000/000000002", "c2", "download_failed", "HTTP Error 404"),
        ("00000/000000003", "c3", "opt_out", "Use of image disallowed by X-Robots"),
        ("00000/000000004", "c4", "missing_file", "img2dataset says success, but it is not there"),
        ("00000/000000000", "c0", "", ""),
        ("00000/000000001", "c1", "", ""),
        ("00000.tar/000000009.jpg", "", "", "no row in the table"),
    ]
    assert found[4].read is not None
    assert found[4].read() == IMAGE


def test_img2dataset_files_and_parquet_outputs_are_read(tmp_path: Path) -> None:
    """The output formats ``files`` and ``parquet`` lead to the same images."""
    files = tmp_path / "files"
    (files / "00000").mkdir(parents=True)
    (files / "00000" / "000000000.jpg").write_bytes(IMAGE)
    (files / "00000" / "000000000.json").write_text("{}")
    table = pd.DataFrame({"key": ["000000000"], "status": ["success"], "caption": ["boot"]})
    table.to_parquet(files / "00000.parquet")
    stats(files / "00000_stats.json", 1)
    rows = tmp_path / "rows"
    rows.mkdir()
    table.assign(jpg=[IMAGE]).to_parquet(rows / "00000.parquet")
    stats(rows / "00000_stats.json", 1)
    for root in (files, rows):
        (entry,) = entries(root, "img2dataset")
        assert (entry.name, entry.caption) == ("00000/000000000", "boot")
        assert entry.read is not None
        assert entry.read() == IMAGE


def test_img2dataset_without_its_table_keeps_captions_and_neighbours(tmp_path: Path) -> None:
    """Its file output has captions and refusals beside the images; other files are rows, too."""
    root = tmp_path / "deeper"
    (root / "00000").mkdir(parents=True)
    (root / "00000/000.jpg").write_bytes(IMAGE)
    (root / "00000/000.txt").write_text("boot")
    (root / "00000/000.json").write_text('{"caption": "no", "x_robots_tag": "noai"}')
    (root / "beside.jpg").write_bytes(IMAGE)
    stats(root / "00000_stats.json", 1)
    found = entries(tmp_path, "img2dataset")
    assert [(e.name, e.caption, e.extra) for e in found] == [
        ("deeper/00000/000.jpg", "boot", {"opt_out": "x_robots_tag: noai"}),
        ("deeper/beside.jpg", "", {}),
    ]


def test_unfinished_img2dataset_shards_are_noted(tmp_path: Path) -> None:
    """A shard without _stats.json, or with other numbers, is said in the notes."""
    for shard, count in (("00000", None), ("00001", 7)):
        pd.DataFrame({"key": ["0"], "status": ["success"]}).to_parquet(
            tmp_path / f"{shard}.parquet"
        )
        write_tar(tmp_path / f"{shard}.tar", {"0.jpg": IMAGE})
        if count is not None:
            stats(tmp_path / f"{shard}_stats.json", count)
    source = open_source(str(tmp_path), PoolSettings())
    assert len(list(source.entries())) == 2
    assert source.notes == [
        "shard 00000 has no _stats.json: img2dataset did not finish it",
        "shard 00001: _stats.json counts 7 rows, the table 1",
    ]


def test_folders_without_shards_are_refused(pool_of: Callable[..., Path]) -> None:
    """Asking for a kind that is not there is one sentence."""
    root = pool_of({"a.jpg": 1})
    with pytest.raises(PoolError, match=r"no \.tar shards"):
        open_source(str(root), PoolSettings(kind="webdataset"))
    with pytest.raises(PoolError, match="no output of img2dataset"):
        open_source(str(root), PoolSettings(kind="img2dataset"))
    with pytest.raises(PoolError, match="no table of URLs"):
        open_source(str(root), PoolSettings(kind="url_table"))


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(("", "./", "sub/")),
        st.sampled_from(("a", "b.c", "a\x01", "a\\x01", "a\udce9", "a\\xe9", "a\n", "a\\n")),
        st.sampled_from((".png", ".PNG", ".jpg_large", ".png#2", ".png#1", ".png (2)", ".jpg~")),
        st.sampled_from(("", "", ".orig", "#0")),
    ).map("".join),
    min_size=1,
    max_size=9,
)


@settings(max_examples=60, deadline=None)
@given(MEMBERS)
def test_every_image_of_a_shard_has_a_row_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    """Whatever an image is called, and however often: a row, by a name that no other row has."""
    folder = tmp_path_factory.mktemp("shard")
    with tarfile.open(folder / "0.tar", "w", errors="surrogateescape") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(IMAGE)
            archive.addfile(member, io.BytesIO(IMAGE))
    found = entries(folder, "webdataset")
    assert len(found) == len({entry.name for entry in found}) == len(names)
    for entry in found:
        assert entry.read or entry.reason == "other_file"
        if entry.reason:
            assert "rename it" in entry.detail


@pytest.mark.parametrize("part", ["x.cls", "x.npy", "x.left.emb", "x.mp3", "x.xml"])
def test_known_parts_of_a_sample_are_no_inputs(tmp_path: Path, part: str) -> None:
    """Classes and features belong to the image beside them, and are inputs without one."""
    assert kind_of_file(part) != "system"
    write_tar(tmp_path / "0.tar", {"x.png": IMAGE, part: b"1"})
    write_tar(tmp_path / "1.tar", {"y.png": IMAGE, part: b"1"})
    found = [(entry.name, entry.reason) for entry in entries(tmp_path, "webdataset")]
    assert found == [("0.tar/x.png", ""), ("1.tar/y.png", ""), (f"1.tar/{part}", "other_file")]


def test_a_file_called_like_a_tables_row_is_another(tmp_path: Path) -> None:
    """Sources in the manifest are unlike, whatever files are called."""
    lines = [json.dumps({"file_name": name}) for name in ("none.png", "none.png")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    for name in ("metadata.jsonl#0", "metadata.jsonl#0#2"):
        (tmp_path / name).write_bytes(IMAGE)
    sources = ingest(str(tmp_path), PoolSettings(workers=1), 16).manifest["source"]
    assert sorted(sources) == [f"metadata.jsonl#{n}" for n in ("0", "0#2", "0#3", "1")]
