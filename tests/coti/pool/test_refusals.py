from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import PngImagePlugin

from coti.pool.input_tables import Row, Table, json_row
from coti.pool.parquet_process import answers, read_parquet
from coti.pool.refusals import REFUSAL_COLUMNS, refusal_in_image, robots_directive
from coti.pool.sidecars import row_extra
from coti.settings import FetchSettings, PoolSettings
from tests.coti.pool.conftest import encoded, image

SETTINGS = FetchSettings()
REFUSING: dict[str, tuple[Any, ...]] = {
    "x_robots_tag": ("none", "noindex, nofollow", "*: noai", "coti: NoImageAI", "all, noai"),
    "robots": ("NONE", "noai", "noimageindex"),
    "content_usage": ("train-ai=n", "search=y, train-ai=n", "bots=n;x=1"),
    **dict.fromkeys(("tdm", "tdm_reservation"), (1, "1", 1.0, "1.0", True, " 1 ")),
}
YES: tuple[Any, ...] = (
    True,
    1,
    1.0,
    "1",
    "true",
    "TRUE",
    "yes",
    "Y",
    "noai",
    "x, noimageai",
    "Opt-Out",
)
ALLOWING: tuple[Any, ...] = (
    None,
    "",
    0,
    0.0,
    "0",
    False,
    "false",
    "no",
    "all",
    "train-ai=y",
    "googlebot: noai",
)


def _refused(row: Row, settings: FetchSettings = SETTINGS) -> bool:
    return bool(row_extra(row, PoolSettings(fetch=settings)).get("opt_out"))


def _spelled(name: str, case: int, mark: str) -> str:
    text = name.replace("_", mark)
    return (text, text.upper(), text.title())[case]


@given(
    st.sampled_from(REFUSAL_COLUMNS).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(REFUSING.get(name, YES)))
    ),
    st.integers(0, 2),
    st.sampled_from(["_", "-", " "]),
    st.dictionaries(
        st.sampled_from([*REFUSAL_COLUMNS, "caption", "punsafe"]), st.sampled_from(["", "0", "no"])
    ),
)
def test_a_refusal_counts_in_any_column_and_spelling(
    refusal: tuple[str, Any], case: int, mark: str, beside: dict[str, str]
) -> None:
    """However its column is written, whatever type its value has and whatever other columns say:
    one refusal is enough.
    """
    name, value = refusal
    beside = {other: said for other, said in beside.items() if other != name}
    row = json_row(0, json.dumps(beside | {_spelled(name, case, mark): value}))
    assert _refused(row)


@given(st.dictionaries(st.sampled_from(REFUSAL_COLUMNS), st.sampled_from(ALLOWING)))
def test_what_refuses_nothing_is_no_refusal(values: dict[str, Any]) -> None:
    """Empty, false, zero, other agents' and allowing values refuse nothing."""
    values = {k: v for k, v in values.items() if v != "googlebot: noai" or "robots" in k}
    assert not _refused(json_row(0, json.dumps(values)))


def test_a_refusal_that_the_settings_leave_out_is_not_honoured() -> None:
    """The settings decide for columns as for headers."""
    without = dataclasses.replace(SETTINGS, opt_out=("noindex",))
    said = {"x_robots_tag": "noai", "tdm_reservation": "1", "content_usage": "train-ai=n"}
    for name, value in said.items():
        assert _refused(Row(0, {name: value}))
        assert not _refused(Row(0, {name: value}), without)


def _csv(names: list[str], values: list[Any]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerows([["file_name", *names], ["a.png", *values]])
    return stream.getvalue().encode()


def _json_line(names: list[str], values: list[Any]) -> bytes:
    pairs = zip(["file_name", *names], ["a.png", *values], strict=True)
    return f"{{{', '.join(f'{json.dumps(n)}: {json.dumps(v)}' for n, v in pairs)}}}".encode()


def _parquet(names: list[str], values: list[Any]) -> bytes:
    stream = io.BytesIO()
    columns = [pa.array([value]) for value in ["a.png", *values]]
    pq.write_table(pa.Table.from_arrays(columns, names=["file_name", *names]), stream)
    return stream.getvalue()


TABLES = {".csv": _csv, ".jsonl": _json_line, ".parquet": _parquet}


def _rows(data: bytes, suffix: str) -> Iterator[Row]:
    """A table's rows; of Parquet without a process of its own."""
    here = mock.patch(
        "coti.pool.input_tables.parquet_batches",
        lambda stream, said: answers(read_parquet(stream), said),
    )
    with here:
        yield from Table(Path(f"t{suffix}"), io.BytesIO(data)).rows()


@given(
    st.sampled_from(sorted(TABLES)),
    st.lists(
        st.tuples(
            st.sampled_from(("noai", "opt_out", "x_robots_tag", "robots", "tdm", "license")),
            st.integers(0, 2),
            st.sampled_from("_- "),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 4),
)
def test_no_column_hides_another(
    suffix: str, columns: list[tuple[str, int, str]], which: int
) -> None:
    """Whatever columns are called, alike or the same: the one that refuses counts, each
    license is there, and the highest of the unsafe ones.
    """
    names = [_spelled(*column) for column in columns]
    plain = [name for name, _, _ in columns]
    which %= len(names)
    values = ["all"] * len(names)
    values[which] = "1" if plain[which] == "tdm" else "noai"
    (row,) = _rows(TABLES[suffix](names, values), suffix)
    extra = row_extra(row, PoolSettings())
    said = {value for name, value in zip(plain, values, strict=True) if name == "license"}
    assert set(filter(None, extra.get("license", "").split("; "))) == said
    assert _refused(row) == (plain[which] != "license")
    unsafe = [_spelled("p_unsafe", case, "") for _, case, _ in columns]
    numbers = [0.9 if place == which else 0.1 for place in range(len(columns))]
    (row,) = _rows(TABLES[suffix](unsafe, numbers), suffix)
    assert row_extra(row, PoolSettings()) == {"punsafe": 0.9}


HARMLESS = ("", "all", "googlebot: index", "https://example.org/p", "search=y; q=1", 0, False, None)


def _within(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Something with the leaf somewhere in it, in lists and under names."""
    beside = st.lists(st.sampled_from(HARMLESS), max_size=2)
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(beside, inner, beside).map(lambda t: [*t[0], t[1], *t[2]]),
            inner.map(lambda value: {"other": 0, "said": value, "version": False}),
        ),
        max_leaves=4,
    )


@given(
    st.sampled_from(
        (
            *(("robots", text) for text in ("noai", "none", "noarchive; none", "all; noai")),
            *(("x_robots_tag", text) for text in ("index noai", "[noai]", '"noai"')),
            *(("content_usage", text) for text in ("search=y; q=1, train-ai=n", 'ai = "n"')),
            *(("tdm", value) for value in (1, "1", "1, 1", "0; 1", "1;q=1", "?1", True)),
            *(("noai", value) for value in (True, "x; yes", '"true"', "a; b: yes")),
        )
    ).flatmap(lambda t: st.tuples(st.just(t[0]), _within(st.just(t[1])))),
    st.integers(0, 5_000),
)
def test_a_refusal_counts_wherever_it_lies_in_a_cell(said: tuple[str, Any], padding: int) -> None:
    """In lists, under names, behind what looks like a separator, and behind thousands of letters
    that refuse nothing.
    """
    name, value = said
    assert _refused(json_row(0, json.dumps({name: value})))
    if isinstance(value, str):
        assert _refused(json_row(0, json.dumps({name: "x" * padding + ", " + value})))
    assert _refused(json_row(0, json.dumps({name: ["x" * padding, value]})))
    if not isinstance(value, list | dict):
        stream = io.BytesIO()
        pq.write_table(pa.table({name: [[{"a": "all", "b": {"c": value}}]]}), stream)
        (row,) = _rows(stream.getvalue(), ".parquet")
        assert _refused(row)


@pytest.mark.parametrize("usage", [{"train-ai": "n"}, {"x": [{"ai": "no"}]}, {"bots": False}])
def test_a_usage_may_be_a_mapping(usage: Any) -> None:
    """The name is the preference's, as before a sign of equality."""
    assert _refused(json_row(0, json.dumps({"content_usage": usage})))
    allowed = json.dumps(usage).replace('"n"', '"y"').replace("no", "yes").replace("false", "true")
    assert not _refused(json_row(0, f'{{"content_usage": {allowed}}}'))


@given(st.integers(0, 300))
def test_a_list_of_parquet_is_judged_whole_or_not_read(before: int) -> None:
    """A refusal behind so many values that not all are read leaves the row unreadable."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"robots": [["all"] * before + ["noai"]]}), stream)
    (row,) = _rows(stream.getvalue(), ".parquet")
    assert _refused(row) or row.problem


@given(st.integers(1, 5_000), st.sampled_from(["nsfw", "license"]))
def test_what_is_cut_is_not_taken_for_its_beginning(blanks: int, name: str) -> None:
    """Whoever allows what a value begins with has not allowed what comes behind."""
    value = "safe" + " " * blanks + "but not for work"
    extra = row_extra(json_row(0, json.dumps({name: value})), PoolSettings())
    assert extra[name].strip() != "safe"


CAPTIONS = st.text("ab ,", max_size=6).map(lambda text: f"a{text}a")


@given(CAPTIONS, st.integers(0, 4), st.sampled_from(["", "CC0"]), st.booleans())
def test_surplus_cells_hide_no_refusal(
    caption: str, surplus: int, license: str, refused: bool
) -> None:
    """Commas that nobody quoted, and empty cells at the row's end: the refusal counts, and commas
    stay the caption's.
    """
    said = "true" if refused else ""
    text = f"file_name,text,noai,license\na.png,{caption},{said},{license}{',' * surplus}\n"
    (row,) = _rows(text.encode(), ".csv")
    if refused:
        assert _refused(row)
    elif not surplus:
        assert row.values["caption"] == caption
        assert not _refused(row)


@given(st.permutations(["file_name", "text", "noai", "url"]), st.integers(0, 3), st.integers(1, 3))
def test_a_comma_that_nobody_quoted_hides_no_refusal(
    names: list[str], where: int, commas: int
) -> None:
    """Whichever cell it stands in, with a caption's column or without."""
    cells = {"file_name": "a.png", "text": "a boot", "noai": "true", "url": "http://x/a"}
    if names[where] != "noai":
        cells[names[where]] += ",b" * commas
    for columns in (names, [name for name in names if name != "text"]):
        line = ",".join(cells[name] for name in columns)
        (row,) = _rows(f"{','.join(columns)}\n{line}\n".encode(), ".csv")
        assert _refused(row)


PAST = st.sampled_from(
    (
        *("25 Jun 2010 15:00:00 GMT", "Fri, 25 Jun 2010 15:00:00 GMT", "25 Jun 2010"),
        *("Friday, 25-Jun-10 15:00:00 GMT", "25 Jun 2010 15:00:00 PST"),
        *("2010-06-25T15:00:00+00:00", "2010-06-25"),
    )
)
FUTURE = st.one_of(
    PAST.map(lambda text: text.replace("2010", "2090").replace("-10 ", "-60 ")),
    st.sampled_from(
        (
            "2090-06-25T15:00:00.000+02:00",
            "25 Jun 2090 15:00:00 GMT+02:00",
            "20900625T15:00:00Z",
        )
    ),
)
BLANK = st.sampled_from(("", " "))
DATED = st.tuples(st.just("unavailable_after:"), BLANK)
ALLOWED = st.one_of(
    st.sampled_from(("all", "max-snippet: 5", "max-image-preview:none", "nosnippet", "noai: no")),
    st.tuples(DATED.map("".join), FUTURE).map("".join),
)
REFUSED = st.one_of(
    st.sampled_from(("noai", '"noai"', "NoImageAI", "max-snippet: 5 noai", "none", "*: noindex")),
    st.tuples(DATED.map("".join), PAST).map("".join),
)


@given(
    st.lists(ALLOWED, max_size=3),
    REFUSED,
    st.lists(ALLOWED, max_size=2),
    st.sampled_from((",", ", ", "; ", " , ")),
    st.sampled_from(("", "coti: ", "googlebot: all, *: ")),
)
def test_a_directive_counts_wherever_it_stands(
    before: list[str], refused: str, behind: list[str], between: str, agent: str
) -> None:
    """In a header and in a column: behind dates to come, values and other agents."""
    header = agent + between.join([*before, refused, *behind])
    assert robots_directive([header], SETTINGS), header
    assert _refused(Row(0, {"robots": header}))
    assert not robots_directive([f"googlebot: {between.join([*before, 'noai'])}"], SETTINGS)
    assert not robots_directive([between.join([*before, *behind])], SETTINGS)


@given(
    st.sampled_from(("utf-8", "utf-16", "utf-16-le", "utf-16-be")),
    st.sampled_from(
        (
            *("tdm:reservation='{}'", 'tdm:reservation = "{}"', "<tdm:reservation>{}</x>"),
            *("<tdm:reservation rdf:datatype='x'>{}</x>", "<tdm:reservation xml:lang='x'>\n{}\n<"),
            *("<tdm:reservation><rdf:value>{}</rdf:value>", "<tdm:reservation><![CDATA[{}]]>"),
        )
    ),
    st.sampled_from(("1", "true", "&#x31;", "&#49;", "TRUE", " 1 ")),
    st.sampled_from(("0", "false", "&#x30;", "")),
    st.binary(max_size=40),
)
def test_xmp_in_any_encoding_and_spelling_refuses(
    encoding: str, form: str, yes: str, no: str, rest: bytes
) -> None:
    """XML writes the same in many ways; an earlier mark that allows hides nothing."""
    # hypothesis also draws words of the code itself: such bytes refuse by themselves
    assume(not refusal_in_image(rest + b" ", SETTINGS))
    allowed = form.format(no) + " dmi-allowed"
    for said in (form.format(yes), "dmi-prohibited", "DMI-PROHIBITED-GENAIMLTRAINING"):
        data = rest + (allowed + said).encode(encoding) + rest
        assert refusal_in_image(data, SETTINGS), said
    assert not refusal_in_image(rest + allowed.encode(encoding), SETTINGS)
    assert not refusal_in_image(data, dataclasses.replace(SETTINGS, opt_out=()))


def _with_xmp(field: str, kind: str) -> bytes:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        f'syntax-ns#"><rdf:Description {field}/></rdf:RDF></x:xmpmeta>'
    )
    options: dict[str, Any] = {"xmp": packet.encode()}
    if kind == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet)
    return encoded(image(3), kind, **options)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize(
    ("field", "refused"),
    [
        ('plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-GENAIMLTRAINING"', True),
        ('plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"', True),
        ('tdm:reservation="1"', True),
        ('plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"', False),
        ('tdm:reservation="0"', False),
    ],
)
def test_an_images_own_metadata_may_refuse(kind: str, field: str, refused: bool) -> None:
    """PLUS's data mining field and the reservation of TDM in XMP are found where they lie."""
    data = _with_xmp(field, kind)
    assert bool(refusal_in_image(data, SETTINGS)) == refused
    assert not refusal_in_image(data, dataclasses.replace(SETTINGS, opt_out=()))
