from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError, PoolError
from coti.core.text_files import (
    decode_text,
    read_csv,
    read_json,
    read_records,
    read_text,
    read_yaml,
)

CAPTIONS = {
    "cp1252": ["Schnürstiefel", "café au lait", "It’s “good” – yes"],
    "cp1251": ["ботинки", "Красные кожаные ботинки на белом фоне"],
    "cp932": ["アンクルブーツの写真", "東京のアンクルブーツ。革製", "写真"],
    "gb18030": ["一双短靴的照片", "北京的红色短靴,皮革制"],
    "cp949": ["앵클 부츠 사진", "하얀 배경의 빨간 가죽 부츠"],
    "big5": ["一雙短靴的照片", "台北的紅色短靴,皮革製"],
    "euc_jp": ["アンクルブーツの写真"],
}


@pytest.mark.parametrize("encoding", CAPTIONS)
def test_captions_in_the_usual_encodings_are_read_with_a_note(encoding: str) -> None:
    """As short as captions are, and what was assumed is said."""
    for caption in CAPTIONS[encoding]:
        text, note = decode_text(caption.encode(encoding))
        assert text == caption
        assert note.startswith("not UTF-8: read as ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize(
    "caption", ["a boot\n", "Über", "ботинки", "アンクルブーツの写真", "一双短靴的照片\n"]
)
def test_wide_encodings_are_read_with_a_mark_and_without(encoding: str, caption: str) -> None:
    """With a mark there is no doubt, without one there is a note."""
    text, note = decode_text(caption.encode(encoding))
    assert text == caption
    assert bool(note) == (encoding[-2:] in ("le", "be"))


def test_one_bad_byte_costs_one_character() -> None:
    """UTF-8 stays UTF-8, the byte is replaced, and the note counts it."""
    text, note = decode_text("Über den Fluß".encode() + b"\xff!")
    assert text == "Über den Fluß\ufffd!"
    assert note == "not UTF-8 in 1 places, which are replaced"


def test_an_odd_byte_far_down_a_long_line_is_seen() -> None:
    """What the encoding is guessed from is where the doubt is."""
    text, note = decode_text(b"x" * 20_000 + " café".encode("cp1252"))
    assert (text[-5:], note) == (" café", "not UTF-8: read as Windows-1252")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")))
def test_utf8_is_read_as_it_is(text: str) -> None:
    """But for line ends, with a mark and without, and nothing is noted."""
    for data in (text.encode(), text.encode("utf-8-sig")):
        read, note = decode_text(data)
        if not note:
            assert read == text.replace("\r\n", "\n").replace("\r", "\n")
        else:  # zeros and other control characters: it may as well be UTF-16
            assert any(ord(character) < 32 for character in text)


@given(st.binary(max_size=400))
def test_any_bytes_end_in_text_that_every_file_takes(data: bytes) -> None:
    """And where they were no UTF-8, in a note."""
    text, note = decode_text(data)
    text.encode("utf-8")
    assert "\r" not in text
    try:
        data.decode()
    except UnicodeDecodeError:
        assert note or data[:2] in (b"\xff\xfe", b"\xfe\xff")


@given(st.recursive(st.text(st.characters()), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_has_no_half_characters(value: object) -> None:
    """However deep a lone surrogate stands."""
    import json

    json.dumps(read_json(json.dumps(value)), ensure_ascii=False).encode("utf-8")


def test_json_that_is_too_deep_is_none() -> None:
    """A ValueError like any other fault."""
    with pytest.raises(ValueError, match="deep"):
        read_json("[" * 100_000)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1),
    st.sampled_from(",;\t|"),
)
def test_rows_survive_any_delimiter(rows: list[tuple[str, str]], delimiter: str) -> None:
    """What a library writes is read cell by cell; the header's names say how."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [("file_name", "text"), *rows]
    )
    found = [tuple(row.cells) for row in read_csv(stream.getvalue(), {"file_name", "text"})]
    assert found == [("file_name", "text"), *rows]


def test_a_quote_that_is_never_closed_swallows_nothing() -> None:
    """The rows behind it are rows."""
    lines = ["file_name,text", 'a.png,"a boot', "b.png,x", 'c.png,"two\nlines"', 'd.png,6" high']
    rows = [row.cells for row in read_csv("\n".join(lines), {"file_name"})]
    assert rows == [
        ["file_name", "text"],
        ["a.png", "a boot"],
        ["b.png", "x"],
        ["c.png", "two\nlines"],
        ["d.png", '6" high'],
    ]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60))
def test_every_line_of_a_table_is_in_some_row(text: str) -> None:
    """Whatever the quotes do, no letter is lost but delimiters, quotes, blanks and NULs."""
    joined = "".join("".join(row.cells) for row in read_csv(text, ()))
    dropped = ' ,;\t|"\0\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029'
    for character in set(text) - set(dropped):
        assert joined.count(character) == text.count(character)


def test_files_that_a_user_names_are_read_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One sentence that names the file, or text and a warning of what was assumed."""
    (tmp_path / "good").write_bytes("\ufeffПривет, ботинки".encode("utf-8"))
    (tmp_path / "old").write_bytes("Красные ботинки".encode("cp1251"))
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert read_text(tmp_path / "good", "the prompts") == "Привет, ботинки"
    assert not caplog.records
    assert read_text(tmp_path / "old", "the prompts") == "Красные ботинки"
    assert "Windows-1251; save it as UTF-8" in caplog.text
    for name in ("image", "none", "a\0b"):
        with pytest.raises(PoolError, match=r"^the prompts '.*' cannot be read"):
            read_text(tmp_path / name, "the prompts", PoolError)


@pytest.mark.parametrize(
    "content", ["a: [", "a: 2020-13-45", "[" * 5000, 'a: "\\ud800"', "a: !!python/name:os.system"]
)
def test_yaml_that_is_none_is_one_error(tmp_path: Path, content: str) -> None:
    """Whatever the library raises of it, and in one line."""
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"run\.yaml") as caught:
        read_yaml(tmp_path / "run.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_records_name_the_columns_they_lack(tmp_path: Path) -> None:
    """What is there, and what should be."""
    path = tmp_path / "r.csv"
    path.write_text("file;rating;x\na;1;2\n")
    with pytest.raises(PoolError, match=r"columns file_name and rating, got \['file', 'rating'"):
        read_records(path, ("file_name", "rating"), "user ratings", PoolError)
    path.write_text("file_name;rating;x\na;1\n")
    records = read_records(path, ("file_name", "rating"), "user ratings", PoolError)
    assert records == [(2, {"file_name": "a", "rating": "1"})]
