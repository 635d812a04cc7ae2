from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.pool.input_tables import Table, as_number, as_text, clean_caption, match_columns


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A file with the text."""
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    """A table with umlauts reads the same in any usual encoding."""
    path = write(tmp_path / "t.csv", "file_name,text\na.jpg,Über\n", encoding)
    rows = list(Table(path).rows())
    assert rows[0].values["caption"] == "Über"


def test_the_usual_names_of_columns_are_known() -> None:
    """LAION's, img2dataset's and Hugging Face's names all lead to ours."""
    laion = match_columns(["URL", "TEXT", "WIDTH", "HEIGHT", "similarity", "AESTHETIC_SCORE"])
    assert laion["url"] == "URL"
    assert laion["caption"] == "TEXT"
    assert laion["aesthetic"] == "AESTHETIC_SCORE"
    assert match_columns(["Image URL", "alt-text"]) == {"url": "Image URL", "caption": "alt-text"}


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
    assert match_columns([name]) == {ours: name}


def test_a_column_named_twice_counts_once(tmp_path: Path) -> None:
    """The first of two columns of a name wins, and the report says that there are two."""
    table = Table(write(tmp_path / "t.csv", "file_name,text,text\na.jpg,one,two\n"))
    assert next(table.rows()).values["caption"] == "one"
    assert "twice" in table.notes[0]


def test_short_rows_nul_bytes_and_huge_fields_are_rows(tmp_path: Path) -> None:
    """Rows of a wrong width, with NULs or a million characters are read, none is lost."""
    text = f"file_name,text\na.jpg\nb.jpg,x\0y,more\nc.jpg,{'w' * 1_000_000}\n"
    rows = list(Table(write(tmp_path / "t.csv", text)).rows())
    assert [row.values["file_name"] for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]
    assert "caption" not in rows[0].values
    assert len(rows[2].values["caption"]) == 1_000_000


def test_json_lines_that_are_none_are_problems(tmp_path: Path) -> None:
    """A bad line is a row with a problem; the lines around it are read."""
    lines = [json.dumps({"file_name": "a.jpg", "text": "x"}), "{broken", "[1]"]
    lines.append("[" * 100_000)
    rows = list(Table(write(tmp_path / "t.jsonl", "\n".join(lines))).rows())
    assert [row.problem for row in rows] == ["", "not JSON", "not a JSON object", "not JSON"]


def test_parquet_with_wrong_types_keeps_its_rows(tmp_path: Path) -> None:
    """Numbers for names and lists for captions are values, not errors."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"file_name": [1, 2], "text": [["a"], None]}), path)
    rows = list(Table(path).rows())
    assert [as_text(row.values["file_name"]) for row in rows] == ["1", "2"]
    assert [as_text(row.values["caption"]) for row in rows] == ["", ""]


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    """A broken Parquet file is one sentence with its path."""
    path = write(tmp_path / "t.parquet", "PAR1 not really")
    with pytest.raises(PoolError, match=r"t\.parquet.*not a readable Parquet"):
        list(Table(path).rows())


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
    assert isinstance(as_text(value), str)
    number = as_number(value)
    assert number is None or abs(number) < float("inf")
