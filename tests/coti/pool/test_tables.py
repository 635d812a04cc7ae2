from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.core.shown_names import escaped, printable
from coti.pool import parquet_process
from coti.pool.input_tables import Table
from coti.pool.sidecars import row_extra
from coti.pool.table_columns import match_columns
from coti.pool.untrusted_text import as_number, as_text, clean_caption
from coti.settings import PoolSettings


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A file with the text."""
    path.write_bytes(text.encode(encoding))
    return path


def opened(path: Path) -> Table:
    """The table of a file."""
    return Table(path, path.open("rb"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    """A table with umlauts reads the same in any usual encoding."""
    path = write(tmp_path / "t.csv", "file_name,text\na.jpg,Über\n", encoding)
    rows = list(opened(path).rows())
    assert rows[0].values["caption"] == "Über"


def test_the_usual_names_of_columns_are_known() -> None:
    """LAION's, img2dataset's and Hugging Face's names all lead to ours."""
    laion = match_columns(["URL", "TEXT", "WIDTH", "HEIGHT", "similarity", "AESTHETIC_SCORE"])
    assert (laion["url"], laion["caption"], laion["aesthetic"]) == (0, 1, 5)
    assert match_columns(["Image URL", "alt-text"]) == {"url": 0, "caption": 1}


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("URL", "url"),
        ("image_url", "url"),
        ("TEXT", "caption"),
        ("alt_text", "caption"),
        ("punsafe", "punsafe"),
        ("prob_unsafe", "punsafe"),
        ("pwatermark", "pwatermark"),
        ("prob_watermark", "pwatermark"),
        ("AESTHETIC_SCORE", "aesthetic"),
        ("aesthetic_score_laion_v2", "aesthetic"),
        ("SIMILARITY", "similarity"),
        ("clip_l14_similarity_score", "similarity"),
        ("LICENSE", "license"),
        ("ORIGINAL WIDTH", "width"),
        ("hash", "hash"),
    ],
)
def test_variants_of_laions_names_are_known(name: str, ours: str) -> None:
    """LAION-5B, LAION-Aesthetics, LAION-COCO, COYO and DataComp name the same things otherwise."""
    assert match_columns([name]) == {ours: 0}


def test_a_column_named_twice_counts_once(tmp_path: Path) -> None:
    """The first of two columns of a name wins, and the report says that there are two."""
    table = opened(write(tmp_path / "t.csv", "file_name,text,text\na.jpg,one,two\n"))
    assert next(table.rows()).values["caption"] == "one"
    assert "twice" in table.notes[0]


def test_short_rows_nul_bytes_and_huge_fields_are_rows(tmp_path: Path) -> None:
    """Rows of a wrong width, with NULs or a million characters are read, none is lost."""
    text = f"file_name,text\na.jpg\nb.jpg,x\0y,more\nc.jpg,{'w' * 1_000_000}\n"
    rows = list(opened(write(tmp_path / "t.csv", text)).rows())
    assert [row.values["file_name"] for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]
    assert "caption" not in rows[0].values
    assert len(rows[2].values["caption"]) == 1_000_000


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_header_says_what_separates(tmp_path: Path, delimiter: str, suffix: str) -> None:
    """Whatever the table's suffix."""
    text = f"file_name{delimiter}text{delimiter}noai\na.jpg{delimiter}a boot{delimiter}1\n"
    (row,) = opened(write(tmp_path / f"t.{suffix}", text)).rows()
    assert row.values == {"file_name": "a.jpg", "caption": "a boot", "noai": "1"}


def test_commas_that_nobody_quoted_are_the_captions(tmp_path: Path) -> None:
    """The columns behind the caption stay what they are, above all a refusal, and it is noted."""
    text = "file_name,text,noai\na.jpg,red, of leather, new,true\nb.jpg,x,\n"
    table = opened(write(tmp_path / "t.csv", text))
    values = [row.values for row in table.rows()]
    expected = {"file_name": "a.jpg", "caption": "red, of leather, new", "noai": "true"}
    assert values[0].items() >= expected.items()
    assert values[1] == {"file_name": "b.jpg", "caption": "x", "noai": ""}
    assert "1 rows have more cells" in table.notes[0]


def test_every_column_that_refuses_counts(tmp_path: Path) -> None:
    """Two that mean the same are one value, the strictest."""
    text = "file_name,opt_out,robots,punsafe,nsfw_score\na.jpg,,noai,0.9,0.1\n"
    (row,) = opened(write(tmp_path / "t.csv", text)).rows()
    assert row_extra(row, PoolSettings()) == {"opt_out": "robots: noai", "punsafe": 0.9}


def test_windows_paths_in_json_lines_are_read(tmp_path: Path) -> None:
    """A backslash that escapes nothing is a backslash."""
    path = write(tmp_path / "t.jsonl", '{"file_name": "train\\1.png", "text": "a \\"b\\" \\u00fc"}')
    assert next(opened(path).rows()).values == {"file_name": "train\\1.png", "caption": 'a "b" ü'}


def test_json_lines_that_are_none_are_problems(tmp_path: Path) -> None:
    """A bad line is a row with a problem; the lines around it are read."""
    lines = [json.dumps({"file_name": "a.jpg", "text": "x"}), "{broken", "[1]"]
    lines.append("[" * 100_000)
    rows = list(opened(write(tmp_path / "t.jsonl", "\n".join(lines))).rows())
    assert [row.problem for row in rows] == ["", "not JSON", "not a JSON object", "not JSON"]


def test_parquet_with_wrong_types_keeps_its_rows(tmp_path: Path) -> None:
    """Numbers for names are values, of a list of captions the first is."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"file_name": [1, 2], "text": [["a"], None]}), path)
    rows = list(opened(path).rows())
    assert [as_text(row.values["file_name"]) for row in rows] == ["1", "2"]
    assert [as_text(row.values["caption"]) for row in rows] == ["a", ""]


def test_parquet_text_that_is_none_costs_a_character(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in a column of strings are read as any file's are."""
    raw = pa.array([b"a.jpg", "Bär.jpg".encode("cp1252"), b"\xff\xfe"], pa.binary())
    pq.write_table(pa.table({"file_name": raw.view(pa.string())}), tmp_path / "t.parquet")
    names = [row.values["file_name"] for row in opened(tmp_path / "t.parquet").rows()]
    assert names == ["a.jpg", "Bär.jpg", ""]


def test_parquet_that_claims_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes that stand for gigabytes, or for rows without end."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"file_name": ["a"] * 100_000}), path, compression="zstd")
    with pytest.raises(PoolError, match=r"t\.parquet is not .* \(it claims 100000 rows in"):
        list(opened(path).rows())
    names, texts = [str(n) for n in range(40)], ["y" * 100_000] * 40
    pq.write_table(pa.table({"file_name": names, "text": texts}), path, compression="zstd")
    monkeypatch.setattr(parquet_process, "_UNPACKED", (1_000_000, 10))
    with path.open("rb") as stream:
        assert "unpacks to more" in list(parquet_process.read_parquet(stream))[-1][0]["error"]


def test_a_parquet_reader_that_dies_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory or taken over: the process goes, the pool is refused by name."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"file_name": ["a"]}), path)
    monkeypatch.setattr("coti.pool.parquet_process.sys.executable", "/bin/false")
    with pytest.raises(PoolError, match=r"t\.parquet.*ended its reader"):
        list(opened(path).rows())


def test_a_parquet_reader_that_never_ends_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then is an answer, but the answers together have an end."""
    path, reader = tmp_path / "t.parquet", tmp_path / "reader"
    pq.write_table(pa.table({"file_name": ["a"]}), path)
    reader.write_text(
        "#!/bin/sh\nprintf '\\0\\0\\003\\350\\0\\0\\0\\0'\nwhile printf ' '; do sleep 0.05; done\n"
    )
    reader.chmod(0o755)
    monkeypatch.setattr("coti.pool.parquet_process.sys.executable", str(reader))
    monkeypatch.setattr(parquet_process, "_ALTOGETHER", 0.5)
    with pytest.raises(PoolError, match=r"t\.parquet.*takes too long"):
        list(opened(path).rows())


def test_a_parquet_reader_that_is_not_confined_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, as of decoding; a confined one says nothing."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"file_name": ["a"]}), path)
    assert len(list(opened(path).rows())) == 1
    assert "less confined" not in capsys.readouterr().err
    frames = [({"open_ways": "no system call filter on plan9"}, b""), ({}, b"")]
    for _ in range(2):
        assert list(parquet_process.answers(frames, "t")) == []
    assert capsys.readouterr().err.count("less confined") == 1


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    """A broken Parquet file is one sentence with its path."""
    path = write(tmp_path / "t.parquet", "PAR1 not really")
    with pytest.raises(PoolError, match=r"t\.parquet.*not a readable Parquet"):
        list(opened(path).rows())


@given(st.text(), st.integers(1, 50))
def test_captions_are_one_clean_line(text: str, longest: int) -> None:
    """Whatever comes, a caption is short, printable UTF-8 on one line, and cleaning it again
    changes nothing.
    """
    caption, length = clean_caption(text, longest)
    assert length == len(text)
    assert len(caption) <= longest
    caption.encode("utf-8")
    assert not any(ord(c) < 32 or c in "\x7f\u202e\u2028" for c in caption)
    assert caption == " ".join(caption.split())
    assert clean_caption(caption, longest)[0] == caption


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()))
def test_cells_become_text_and_finite_numbers(value: object) -> None:
    """Any cell is some text, and either a finite number or none."""
    as_text(value).encode("utf-8")
    number = as_number(value)
    assert number is None or abs(number) < float("inf")


@given(st.text(st.characters()))
def test_any_name_can_be_shown(name: str) -> None:
    """Half characters, bytes that are no text, controls: escaped, and so no two are one."""
    shown = printable(name)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 for c in shown)


PARTS = ("a", "\\", "x85", "u0085", "n", "\n", "\x85", "\udc85", "\x01", "x01", "\u2028")
NAMES = st.lists(st.sampled_from(PARTS), max_size=4).map("".join)


@given(NAMES, NAMES)
def test_no_two_names_look_the_same(one: str, other: str) -> None:
    """Bytes, controls and what is spelled like their escapes; and shown again it is no other."""
    assert (escaped(one) == escaped(other)) == (one == other)
    assert printable(escaped(one)) == escaped(one)
