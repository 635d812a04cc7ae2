from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import PngImagePlugin

from coti.pool.input_tables import json_row
from coti.pool.refusals import REFUSAL_COLUMNS, refusal_in_columns, refusal_in_image
from coti.pool.sidecars import row_extra
from coti.settings import FetchSettings
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
    assert refusal_in_columns(row_extra(row)["opt_out"], SETTINGS)


@given(st.dictionaries(st.sampled_from(REFUSAL_COLUMNS), st.sampled_from(ALLOWING)))
def test_what_refuses_nothing_is_no_refusal(values: dict[str, Any]) -> None:
    """Empty, false, zero, other agents' and allowing values refuse nothing."""
    values = {k: v for k, v in values.items() if v != "googlebot: noai" or "robots" in k}
    said = row_extra(json_row(0, json.dumps(values))).get("opt_out", "")
    assert not refusal_in_columns(said, SETTINGS)


def test_a_refusal_that_the_settings_leave_out_is_not_honoured() -> None:
    """The settings decide for columns as for headers."""
    without = dataclasses.replace(SETTINGS, opt_out=("noindex",))
    for said in ("x_robots_tag: noai", "tdm_reservation: 1", "content_usage: train-ai=n"):
        assert refusal_in_columns(said, SETTINGS)
        assert not refusal_in_columns(said, without)


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
