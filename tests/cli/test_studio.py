from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

import cli.studio
from cli.studio import studio
from coti.core.errors import ConfigError
from tests.coti.report.test_closed_pages import HOSTILE, elsewhere_server
from tests.coti.report.test_report import png
from tools.screenshots import HOST, browser_page, chromium, serving

SERVE = """
import sys
from pathlib import Path
from cli.studio_app import serve
serve("127.0.0.1", int(sys.argv[1]), ["127.0.0.1", "boots.example"], Path(sys.argv[2]))
"""
PAGE = """
import streamlit as st
from cli.studio_app import plain

for text in (TEXT, plain(TEXT)):
    st.subheader(text)
    st.error(text)
    st.image(PNG, caption=text)
st.html(TEXT)
st.write("to the end")
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The studio's server with a page full of hostile texts; what another server was asked for."""
    with elsewhere_server() as (elsewhere, asked):
        markdown = f"![x]({elsewhere}/m) $x$ " + HOSTILE.replace("ELSEWHERE", elsewhere)
        page = tmp_path_factory.mktemp("studio") / "page.py"
        page.write_text(f"TEXT, PNG = {markdown!r}, {png(0)!r}\n{PAGE}", encoding="utf-8")
        with serving(
            lambda host, port: [sys.executable, "-c", SERVE, str(port), str(page)],
            "/_stcore/health",
        ) as address:
            yield address, asked


def _status(address: str, path: str, headers: dict[str, str]) -> int:
    """What is answered to a request with just these headers."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(client.recv(99).split()[1])


def test_it_answers_its_own_pages_alone(served: tuple[str, list[str]]) -> None:
    """A foreign Host (a name that resolves to this machine) or Origin: nothing, on any way in."""
    address, _ = served
    port = urlsplit(address).port
    socket_words = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "streamlit",
    }
    own = (f"{HOST}:{port}", f"boots.example:{port}", "boots.example")
    foreign = ("evil.example", f"evil.example:{port}", f"{HOST}.evil.example", "", f"x@{HOST}")
    for host, (path, more, good) in itertools.product(
        (*own, *foreign),
        [("/", {}, 200), ("/_stcore/host-config", {}, 200), ("/_stcore/stream", socket_words, 101)],
    ):
        for origin in (None, f"http://{host}", "http://evil.example", "null", f"http://{HOST}:1"):
            headers = {"Host": host, **more, **({} if origin is None else {"Origin": origin})}
            status = _status(address, path, headers)
            if host in own and origin in (None, f"http://{host}"):
                assert status == good, (path, headers)
            else:
                assert status in (400, 403), (path, headers)


@pytest.mark.slow
def test_no_text_on_it_runs_or_loads_anything(served: tuple[str, list[str]]) -> None:
    """Streamlit reads Markdown everywhere, even a caption: the policy keeps the browser here."""
    if chromium() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    address, asked = served
    with browser_page() as page:
        page.goto(address)
        page.get_by_text("to the end").wait_for(timeout=60_000)
        page.wait_for_load_state("networkidle")
        shown = "[...document.images].filter(image => image.naturalWidth == 32).length"
        page.wait_for_function(f"{shown} == 2", timeout=30_000)
        assert page.evaluate("window.ran") is None
        assert page.locator("h3 img").count() == 1, "of the text that was not made plain"
    assert asked == []


def test_it_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --host; with another it says that nobody logs in. (The server isn't started.)"""
    started: list[list[str]] = []
    monkeypatch.setattr(cli.studio.os, "execv", lambda _, words: started.append(words))
    done = CliRunner().invoke(studio, [], catch_exceptions=False)
    assert "Studio: http://127.0.0.1:8501" in done.output
    assert "Note" not in done.output
    assert started[0][3:5] == ["127.0.0.1", "8501"]
    done = CliRunner().invoke(studio, ["--host", "0.0.0.0", "--name", "boots.example"])
    assert "0.0.0.0 can be reached from other machines" in done.output
    assert started[1][3] == "0.0.0.0"
    assert started[1][-1] == "boots.example"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence."""
    monkeypatch.setattr(cli.studio, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"streamlit, which `make install` brings"):
        CliRunner().invoke(studio, [], catch_exceptions=False)
