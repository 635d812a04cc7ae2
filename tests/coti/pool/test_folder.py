from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coti.core.errors import PoolError
from coti.pool.entry import Entry
from coti.pool.ingest import ingest
from coti.pool.open_source import detect_kind, fingerprint_source, open_source
from coti.pool.sidecars import caption_of
from coti.settings import PoolSettings
from tests.coti.pool.test_shards import write_tar

PoolOf = Callable[..., Path]


def entries(path: Path, **changes: object) -> dict[str, Entry]:
    """The inputs of a folder by name."""
    settings = PoolSettings(**changes)  # type: ignore[arg-type]
    return {entry.name: entry for entry in open_source(str(path), settings).entries()}


def test_captions_come_from_sidecars(pool_of: PoolOf) -> None:
    """Text, caption and JSON files beside an image caption it and are no inputs themselves."""
    root = pool_of(
        {
            "a.jpg": 1,
            "a.txt": b"a boot",
            "b.jpg": 2,
            "b.caption": "Schnürstiefel".encode(),
            "sub/c.png": 3,
            "sub/c.json": b'{"TEXT": "third", "punsafe": 0.25}',
            "lonely.txt": b"nobody's",
        }
    )
    found = entries(root)
    assert {name: entry.caption for name, entry in found.items() if entry.read} == {
        "a.jpg": "a boot",
        "b.jpg": "Schnürstiefel",
        "sub/c.png": "third",
    }
    assert found["sub/c.png"].extra == {"punsafe": 0.25}
    assert found["lonely.txt"].reason == "other_file"


def test_translated_captions_are_taken_by_language() -> None:
    """Of Tux Paint's lines the untranslated one is taken, or that of the language asked for."""
    text = "A frog.\nde.utf8=Ein Frosch.\npt_br.utf8=Um sapo.\n"
    assert caption_of(text) == "A frog."
    assert caption_of(text, "de") == "Ein Frosch."
    assert caption_of(text, "xx") == "A frog."


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_tables_caption_and_account_for_every_row(pool_of: PoolOf, kind: str) -> None:
    """Rows join their files; those that name none, or one twice, are inputs with a reason."""
    import pandas as pd

    root = pool_of({"a.jpg": 1, "sub/b.jpg": 2, "c.jpg": 3})
    names = ["a.jpg", "sub/b.jpg", "gone.jpg", "../../etc/passwd", "/etc/hosts", "", "a.jpg"]
    table = pd.DataFrame({"file_name": names, "text": [f"row {i}" for i in range(7)]})
    path = root / f"metadata.{kind}"
    if kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    found = entries(root)
    assert {name: (entry.caption, entry.reason) for name, entry in found.items()} == {
        "a.jpg": ("row 0", ""),
        "c.jpg": ("", ""),
        "sub/b.jpg": ("row 1", ""),
        f"metadata.{kind}#2": ("row 2", "missing_file"),
        f"metadata.{kind}#3": ("row 3", "outside_path"),
        f"metadata.{kind}#4": ("row 4", "outside_path"),
        f"metadata.{kind}#5": ("row 5", "bad_row"),
        f"metadata.{kind}#6": ("row 6", "repeated_row"),
    }
    assert found["c.jpg"].detail == "no row in the metadata"


def test_a_table_without_file_names_is_refused(pool_of: PoolOf) -> None:
    """A metadata table that names no files is a mistake, said in one sentence."""
    root = pool_of({"a.jpg": 1, "metadata.csv": b"caption,score\nx,1\n"})
    with pytest.raises(PoolError, match=r"metadata\.csv.*no column of file names"):
        entries(root)


def test_one_odd_row_stops_nothing(pool_of: PoolOf) -> None:
    """A first line without a file name is a row of its own; a Windows path finds its file."""
    lines = ['{"text": "no name"}', '{"file_name": "train\\1.png", "text": "one"}']
    root = pool_of({"train/1.png": 1, "metadata.jsonl": "\n".join(lines).encode()})
    assert {name: (e.caption, e.reason) for name, e in entries(root).items()} == {
        "train/1.png": ("one", ""),
        "metadata.jsonl#0": ("no name", "bad_row"),
    }


def test_a_snapshot_of_the_hub_is_a_pool(pool_of: PoolOf) -> None:
    """Its files are links to the blobs beside it, and a pointer says how to get the file."""
    repository = pool_of(
        {"blobs/ff": 1, "snapshots/12/lfs.png": b"version https://git-lfs.github.com/"}
    )
    (repository / "snapshots/12/a.png").symlink_to("../../blobs/ff")
    pool = ingest(str(repository / "snapshots/12"), PoolSettings(workers=1), 16)
    rows = pool.manifest.set_index("source")[["reason", "detail"]].to_dict("index")
    assert rows["a.png"]["reason"] == ""
    assert rows["lfs.png"]["reason"] == "not_an_image"
    assert "git lfs pull" in rows["lfs.png"]["detail"]


def test_what_systems_leave_behind_is_no_image(pool_of: PoolOf) -> None:
    """A row that says so, never opened."""
    left = ["Thumbs.db", "._a.png", "__MACOSX/a.png", ".git/a.png"]
    found = entries(pool_of({"a.png": 1, **dict.fromkeys(left, 2)}))
    assert {name for name, entry in found.items() if not entry.reason} == {"a.png"}
    assert {found[name].reason for name in left} == {"other_file"}


def test_a_changed_pool_is_not_what_was_hashed(pool_of: PoolOf) -> None:
    """The fingerprint after reading is of what was read: any change on the way is seen."""
    files: dict[str, bytes | int] = {"a.png": 1, "b.png": 2, "b.txt": b"x", "c.mp3": b"x"}
    for number, change in enumerate(("a.png", "b.txt", "c.mp3", "0.tar")):
        tar = {"0.tar": write_tar(pool_of({}, "t") / "0", {"x.png": b"x"}).read_bytes()}
        root = pool_of({**files, **tar}, f"p{number}")
        before = fingerprint_source(str(root))
        source = open_source(str(root), PoolSettings())
        first = iter(source.entries())
        for entry in first:
            if entry.read:
                entry.read()
        assert source.fingerprint() == before
        source = open_source(str(root), PoolSettings())
        for entry in source.entries():
            if entry.name == "a.png":  # read before it changes, and back again when it is hashed
                data = (root / change).read_bytes()
                (root / change).write_bytes(data + b"2")
            if entry.read:
                entry.read()
            if entry.name == "a.png" and change == "a.png":
                (root / change).write_bytes(data)
        assert source.fingerprint() != before


def test_a_pool_that_changes_is_not_ingested(pool_of: PoolOf) -> None:
    """Nothing goes into a cache under another pool's hash."""
    root = pool_of({"a.png": 1, "b.png": 2})
    before = fingerprint_source(str(root))
    (root / "b.png").unlink()
    with pytest.raises(PoolError, match="changed while it was read: run again"):
        ingest(str(root), PoolSettings(workers=1), 16, fingerprint=before)


def test_names_match_across_unicode_forms(pool_of: PoolOf) -> None:
    """A composed name in the table finds the decomposed one on disk, and the other way round."""
    root = pool_of({"u\u0308ber.jpg": 1, "metadata.csv": "file_name,text\nüber.jpg,x\n".encode()})
    assert [entry.caption for entry in entries(root).values()] == ["x"]


def test_links_and_pipes_are_not_read(pool_of: PoolOf, tmp_path: Path) -> None:
    """What is no regular file inside the pool is an input with a reason; a pipe can't block."""
    root = pool_of({"a.jpg": 1})
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "s.jpg").write_bytes(b"secret")
    (root / "file.jpg").symlink_to(secret / "s.jpg")
    (root / "folder").symlink_to(secret)
    (root / "nowhere.jpg").symlink_to(root / "no such file")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "inside.jpg").symlink_to(root / "a.jpg")
    os.mkfifo(root / "pipe.jpg")
    found = entries(root)
    assert {name: entry.reason for name, entry in found.items()} == {
        "a.jpg": "",
        "file.jpg": "outside_path",
        "folder": "outside_path",
        "inside.jpg": "",
        "loop.jpg": "unreadable",
        "nowhere.jpg": "not_regular",
        "pipe.jpg": "not_regular",
    }


def test_names_that_are_no_text_are_shown_escaped(pool_of: PoolOf) -> None:
    """Control characters and bytes that are not UTF-8 are escaped, and the file is read."""
    root = pool_of({"a\x07\u202eb.jpg": 1})
    (root / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"x")
    assert sorted(entries(root)) == ["\\xff\\xfe.jpg", "a\\x07\\u202eb.jpg"]


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    """No folder and an empty one are one sentence each."""
    with pytest.raises(PoolError, match="does not exist"):
        open_source(str(tmp_path / "none"), PoolSettings())
    with pytest.raises(PoolError, match="is empty"):
        entries(tmp_path)


def test_fingerprints_follow_names_and_bytes_only(pool_of: PoolOf) -> None:
    """A copy elsewhere has the same fingerprint; any change of name, bytes or caption another."""
    files: dict[str, bytes | int] = {"a.jpg": 1, "sub/b.jpg": 2, "a.txt": b"boot"}
    first = fingerprint_source(str(pool_of(files, "one")))
    copy = pool_of(files, "two")
    os.utime(copy / "a.jpg", (1, 1))
    assert fingerprint_source(str(copy)) == first
    for name, change in {"a.jpg": 3, "a.txt": b"shoe", "c.jpg": 2}.items():
        assert fingerprint_source(str(pool_of({**files, name: change}, name))) != first
    (copy / "a.jpg").rename(copy / "z.jpg")
    assert fingerprint_source(str(copy)) != first


def test_kinds_are_detected(pool_of: PoolOf) -> None:
    """Folders, shards, tables of URLs, img2dataset's output and S3 prefixes are told apart."""
    assert detect_kind("s3://bucket/prefix") == "s3"
    assert detect_kind(str(pool_of({"a.jpg": 1}, "f"))) == "folder"
    assert detect_kind(str(pool_of({"metadata.csv": b"file_name\n", "a.jpg": 1}, "m"))) == "folder"
    assert detect_kind(str(pool_of({"00000.tar": b""}, "w"))) == "webdataset"
    assert detect_kind(str(pool_of({"00000.tar": b"", "00000_stats.json": b"{}"}, "i"))) == (
        "img2dataset"
    )
    table = pool_of({"part-0.csv": b"URL,TEXT\nhttp://a/b,c\n"}, "u")
    assert detect_kind(str(table)) == "url_table"
    assert detect_kind(str(table / "part-0.csv")) == "url_table"
    lines = b'{"text": "a"}\nnot JSON\n{"url": "http://a/b"}\n'
    odd = pool_of({"train/0.jsonl": b"{}\n", "train/1.jsonl": lines, ".DS_Store": b"x"}, "o")
    assert detect_kind(str(odd)) == "url_table"
    assert detect_kind(str(pool_of({"0.jsonl": b'{"file_name": "a.jpg"}\n'}, "n"))) == "folder"
