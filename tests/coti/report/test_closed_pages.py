"""No text of a stranger runs or loads anything, on any page that is written."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.loop.verdict import Verdict
from coti.metrics.paired_distance import kernel_distance
from coti.pool.manifest import to_frame
from coti.pool.pool_images import ImageWriter, PoolImages
from coti.pool.pool_report import render_report
from coti.pool.selection_page import render_selection
from coti.pool.validation import Validation, validate
from coti.ranking.checkpoint_kinds import Checkpoint
from coti.ranking.ranking import Ranked, Ranking
from coti.ranking.results import write_page
from coti.report import Card, RunReport, write_report
from coti.settings import PoolSettings
from tests.coti.report.test_report import Page, cycle, png
from tools.screenshots import browser_page, chromium

ROWS = ("id", "source", "caption", "detail", "format", "mode", "quality", "url", "license")
HOSTILE = (
    "\"'></style></script><script>window.ran=1;fetch('ELSEWHERE/f')</script>"
    "<img src=ELSEWHERE/i onerror=window.ran=1><style>@import 'ELSEWHERE/s'</style>"
    "<link rel=stylesheet href=ELSEWHERE/l><iframe src=ELSEWHERE/w></iframe>"
    "<svg onload=window.ran=1><a href=javascript:window.ran=1>"
)
fragments = st.sampled_from(
    ["<script>", "</title>", "-->", "<!--", "<svg onload=a>", "]]>", '"', "'", "`", "{{ 7*7 }}",
     "{% raw %}", "&lt;", "\x00", "\udcff", "=x", "javascript:", "//e.example/", "\u2028", "onx="]
)  # fmt: skip
texts = st.lists(fragments | st.text(max_size=8), min_size=1, max_size=6).map(
    lambda parts: "x" + "".join(parts)
)


def verdict(text: str) -> Validation:
    """A good row, and one with ``text`` in every column that a stranger fills, judged for real."""
    good = {"status": "accepted", "width": 640, "height": 480, "bytes": 9, "caption_length": 1}
    good |= {"phash": "0" * 16, "license": "cc0", "id": "good", "sha256": "0" * 64}
    hostile = {**good, **dict.fromkeys(ROWS, text), "sha256": "1" * 64}
    chosen = PoolSettings(
        near_duplicate_bits=-1, max_quarantined_share=1, allowed_licenses=("cc0",)
    )
    return validate(to_frame([good, hostile]), chosen)


@cache
def pool_images() -> PoolImages:
    """The good row's image."""
    file = io.BytesIO()
    writer = ImageWriter(file)  # type: ignore[arg-type]
    writer.add("good", tiny())
    writer.close()
    return PoolImages(file)


@cache
def tiny() -> bytes:
    """An image, encoded."""
    return png(0, 4)


def pages(text: str, folder: Path, judged: Validation) -> dict[str, str]:
    """Each page that the product writes, with ``text`` wherever one is shown."""
    cards = [[Card(tiny(), text, 9.1, 8.2, 11.3, 1, text)]]
    curve = {"step": 1, "loss": 0.1, "learning_rate": 1e-2, "stage": text, "phi": 5.0}
    run = RunReport(
        text,
        [cycle(0)],
        title=text,
        placeholder_token=text,
        strategy=text,
        finished=text,
        kept_cycle=0,
        stop_reason=text,
        verdict=Verdict("failed", (text,), {}),
        curves=[[curve, {**curve, "step": 2}]],
        picked=cards,
        not_drawn=cards,
        held_back=cards,
        samples=[[tiny()]],
        quarantine=[(text, 7, [text])],
        pool_report=text,
        config={text: {text: text}},
        lineage={text: text},
        files={text: "x", "y": f"s3://{text}"},
    )
    page = write_report(run, folder / "run.html").read_text(encoding="utf-8")
    pool = render_report(text, text, judged, pool_images(), [text])
    ranked = write_page(ranking_of(text), folder / "rank.html", text, [text])
    return {
        "run": page,
        "pool": pool,
        "rank": ranked.read_text(encoding="utf-8"),
        "selection": selection(text, judged),
    }


def ranking_of(text: str) -> Ranking:
    """Of one checkpoint that is called so."""
    far = kernel_distance(torch.eye(3), torch.ones(2, 3))
    checkpoint = Checkpoint(text, "LoRA", Path("x"))
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    return Ranking((Ranked(checkpoint, images, 1, far, far, 0.5, 0.5, 0.1, 0.9, 0.1),))


def selection(text: str, judged: Validation) -> str:
    """A set's page: an image that was chosen, and one that was not."""
    table = judged.manifest.assign(id="good", order=[1, 0], score=1.0, s_aes=9.0, s_con=8.0)
    known = text.encode("utf-8", "replace").decode()  # Arrow holds no surrogates
    table = table.assign(status="accepted", reason="", why=known, address=known)
    unusable = table.tail(1).assign(status="quarantined", reason="corrupt")
    rows = pd.concat([table, unusable], ignore_index=True)
    said = Verdict("failed", (text,), {})
    return render_selection(text, text, rows, pool_images(), said, text, [text])


def shape(html: str) -> list[tuple[str, list[str]]]:
    """Tags and their attributes, without those by which the texts may well differ."""
    return [(tag, sorted(attributes)) for tag, attributes in Page(html).tags]


@pytest.mark.slow
@settings(max_examples=25)
@given(texts)
def test_no_text_adds_a_tag_or_an_attribute(tmp_path_factory: Any, text: str) -> None:
    """Both have the tags of the same pages with an ordinary word, and encode as UTF-8."""
    folder = tmp_path_factory.mktemp("pages")
    found = pages(text, folder, verdict_of(text))
    for name, html in found.items():
        assert shape(html) == plain_shapes()[name], name
        html.encode("utf-8")


@cache
def plain_shapes() -> dict[str, list[tuple[str, list[str]]]]:
    """Those of the pages with a word."""
    with TemporaryDirectory() as folder:
        found = pages("xy", Path(folder), verdict_of("xy"))
    return {name: shape(html) for name, html in found.items()}


def verdict_of(text: str) -> Validation:
    """As :func:`verdict`, put together without Great Expectations, which takes half a second."""
    frame = judged_word().manifest.copy()
    for name in ("source", "caption", "detail", "format", "mode", "quality", "url", "license"):
        frame[name] = text.encode("utf-8", "replace").decode()  # Arrow holds no surrogates
    frame["quality"] = frame["quality"].str.replace(",", ";")  # of flags a comma makes two
    result = replaced(judged_word().result, "word", text)
    return Validation(frame, result)


@cache
def judged_word() -> Validation:
    """The real verdict on a word."""
    return verdict("word")


def replaced(value: Any, word: str, text: str) -> Any:
    """A JSON value with another text for each that is ``word``."""
    if isinstance(value, dict):
        return {key: replaced(each, word, text) for key, each in value.items()}
    if isinstance(value, list):
        return [replaced(each, word, text) for each in value]
    return text if value == word else value


def test_a_license_is_shown_and_not_run() -> None:
    """Of the real validation: its text is there, its tags are not."""
    html = render_report("x", "x", verdict(HOSTILE), pool_images())
    assert "&lt;script&gt;window.ran=1" in html
    assert shape(html) == shape(render_report("x", "x", verdict("word"), pool_images()))


def test_every_page_has_its_policy_before_anything_else(tmp_path: Path) -> None:
    """After the encoding alone, which the browser must know to read it."""
    for name, html in pages(HOSTILE, tmp_path, verdict(HOSTILE)).items():
        head = Page(html).tags[2:5]
        assert head[0] == ("meta", {"charset": "utf-8"}), name
        (policy,) = (a["content"] for _, a in head if "http-equiv" in a)
        assert str(policy).startswith("default-src 'none'; img-src data:; style-src"), name


@contextmanager
def elsewhere_server() -> Iterator[tuple[str, list[str]]]:
    """Inside, another server runs; its address, and what it was asked for."""
    asked: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listening) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_browser_runs_and_loads_nothing(tmp_path: Path) -> None:
    """Neither of the pages as they are, nor, were a text not escaped, because of their policy."""
    if chromium() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with elsewhere_server() as (address, asked), browser_page() as page:
        text = HOSTILE.replace("ELSEWHERE", address)
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        # The test's own test: without a policy all of it happens.
        page.set_content(f"<body>{text.removeprefix(chr(34))}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.ran") == 1
        assert {"/f", "/i", "/s", "/l", "/w"} <= set(asked)
        asked.clear()
        for name, html in pages(text, tmp_path, verdict(text)).items():
            for unescaped in ("", text):
                file = tmp_path / f"{name}.html"
                file.write_text(html.replace("<main>", f"<main>{unescaped}"), encoding="utf-8")
                page.goto(file.as_uri())
                page.wait_for_load_state("networkidle")
                assert page.evaluate("window.ran") is None, name
        assert page.get_by_text("window.ran=1").count()
        assert asked == []
