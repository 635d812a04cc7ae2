"""``coti review``: the real server, the real page in headless Chromium, people at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

import coti
from coti.commands.main import cli
from coti.core.errors import PoolError
from coti.dataset.chosen_set import read_set, write_set
from coti.dataset.review_page import ReviewedSet
from coti.selection.decisions import ReviewWriter, read_decisions, read_review
from tests.coti.report.test_accessible_pages import PHONE, WIDE, faults
from tools.screenshots import browser_page, chromium

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
BOOTS = ROOT / "assets" / "pools" / "ankle_boot"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated set of twenty images with captions."""
    pool = tmp_path_factory.mktemp("pool")
    for path in sorted((BOOTS / "references").iterdir())[:24]:
        (pool / path.name).write_bytes(path.read_bytes())
        (pool / path.name).with_suffix(".txt").write_text(f"a boot, {path.stem}")
    few = {"preset": "bundled", "aesthetic": {"steps": 5}, "strategy": "nearest_to_seeds"}
    found = coti.curate(BOOTS / "seeds", pool, concept="ankle boot", count=20, **few)
    return found.save(tmp_path_factory.mktemp("sets") / "boots")


@pytest.fixture
def chosen(made: Path, tmp_path: Path) -> Path:
    """A copy of it that nobody has reviewed."""
    return Path(shutil.copytree(made, tmp_path / "boots"))


class Server:
    """``coti review`` as a shell starts it."""

    def __init__(self, folder: Path, who: str, port: int = 0) -> None:
        words = ["review", str(folder), "--who", who, "--port", str(port)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from coti.commands.main import main; main()", *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        self.address = self.process.stdout.readline().split()[1]

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ask(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body of a path of this server."""
        place = urlsplit(self.address)
        asked = HTTPConnection(str(place.hostname), place.port, timeout=30)
        asked.request("GET", path, headers=headers)
        answer = asked.getresponse()
        found = answer.status, answer.read()
        asked.close()
        return found


@contextmanager
def serving(folder: Path, who: str) -> Iterator[Server]:
    """Inside, it serves."""
    server = Server(folder, who)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One page for all tests."""
    if chromium() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with browser_page(WIDE, 900) as page:
        page.context.set_default_timeout(30_000)
        page.set_default_timeout(30_000)
        page.on("dialog", lambda dialog: dialog.accept())  # decisions that are not saved yet
        yield page


def filled(page: Any, address: str) -> None:
    """Open the page and wait for its images' places."""
    page.goto(address)
    page.locator(".card.current").wait_for()


def saved(page: Any) -> None:
    """Wait until the server has all of it."""
    page.get_by_text("all saved").wait_for()


def test_keys_and_mouse_decide(chosen: Path, browser: Any) -> None:
    """Each decision is a row at once; the filters show what is decided."""
    images = list(read_set(chosen).chosen["sha256"])
    with serving(chosen, "ann") as server:
        assert "20 images, 0 kept, 0 dropped, 20 undecided" in server.first
        filled(browser, server.address)
        press = browser.keyboard.press
        for key in ("k", "ArrowRight", "d", "ArrowRight", "7", "x", "ArrowRight", "d", "u"):
            press(key)
        browser.get_by_label("Keep image 6").click()
        browser.get_by_label("Rating of image 7").select_option("3")
        browser.get_by_label("Caption of image 8").click()
        browser.locator("#caption-text").fill("a brown boot <b>&")
        press("Enter")
        saved(browser)
        review = read_review(chosen)
        assert review.verdicts == {images[0]: "keep", images[1]: "drop", images[5]: "keep"}
        assert review.ratings == {images[2]: 10.0, images[6]: 3.0}
        assert review.captions == {images[7]: "a brown boot <b>&"}
        assert {each.who for each in read_decisions(chosen / "review")} == {"ann"}
        browser.get_by_role("button", name="Dropped", exact=True).click()
        assert browser.locator(".card:visible").count() == 1
        browser.get_by_role("button", name="Undecided", exact=True).click()
        assert browser.locator(".card:visible").count() == 17
        press("d")  # it leaves this view, and the next image is at hand
        press("d")
        saved(browser)
        assert list(read_review(chosen).verdicts.values()).count("drop") == 3
        press("?")
        assert browser.locator("#help").is_visible()
        press("Escape")
    said = subprocess.run(
        [sys.executable, "-c", "from coti.commands.main import main; main()", "review",
         str(chosen), "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    found = json.loads(said.stdout)
    assert (found["images"], found["kept"], found["dropped"]) == (20, 2, 3)
    assert (found["rated"], found["captioned"], found["people"]) == (2, 1, {"ann": 11})


def test_two_people_at_once_lose_nothing(chosen: Path, browser: Any) -> None:
    """Each sees what the other decides; a crash loses nothing that was acknowledged, and what was
    not is sent to the server once it is back."""
    images = list(read_set(chosen).chosen["sha256"])
    other = browser.context.browser.new_page()
    with serving(chosen, "ann") as one, serving(chosen, "bob") as two:
        filled(browser, one.address)
        filled(other, two.address)
        for _ in range(6):
            browser.keyboard.press("k")
            other.keyboard.press("9")
            browser.keyboard.press("ArrowRight")
            other.keyboard.press("ArrowRight")
        saved(browser)
        saved(other)
        assert set(read_review(chosen).verdicts) == set(images[:6])
        assert set(read_review(chosen).ratings) == set(images[:6])
        browser.locator(".card .word").first.filter(has_text="9 of 10").wait_for()
        other.locator(".card .word").first.filter(has_text="Kept").wait_for()
        one.kill()
        assert len(read_decisions(chosen / "review")) == 12
        browser.keyboard.press("d")
        browser.get_by_text("1 not saved, tried again").wait_for()
        assert len(read_decisions(chosen / "review")) == 12
    other.close()
    browser.goto("about:blank")


def test_a_failed_send_is_tried_again(chosen: Path, browser: Any) -> None:
    """Shown meanwhile, and written once the disk takes it."""
    with serving(chosen, "ann") as server:
        filled(browser, server.address)
        (chosen / "review").write_text("in the way")
        browser.keyboard.press("k")
        browser.get_by_text("1 not saved, tried again").wait_for()
        (chosen / "review").unlink()
        saved(browser)
        assert list(read_review(chosen).verdicts.values()) == ["keep"]


def test_only_its_own_page_is_answered(chosen: Path) -> None:
    """No foreign host name or origin, no guessed address, no path; images by content alone."""
    image = str(read_set(chosen).chosen["sha256"].iloc[0])
    with serving(chosen, "ann") as server:
        path = urlsplit(server.address).path
        assert server.ask(path)[0] == 200
        status, data = server.ask(f"{path}image/{image}")
        assert (status, data[:2]) == (200, b"\xff\xd8")
        assert server.ask(path, Host="evil.example")[0] == 404
        assert server.ask(path, Origin="http://evil.example")[0] == 404
        for wrong in ("/", "/x/", "/decisions", f"{path}../set.json", f"{path}image/../../set.json",
                      f"{path}image/{'0' * 64}", f"{path}set.json"):  # fmt: skip
            assert server.ask(wrong)[0] == 404, wrong
        ReviewWriter(chosen / "review", "bob").decide(image, "drop")
        assert json.loads(server.ask(f"{path}decisions")[1])[image]["who"] == "bob"
        (chosen / "review" / "bad.parquet").write_bytes(b"x")
        status, data = server.ask(f"{path}decisions")
        assert (status, b"is no file of decisions" in data) == (500, True)


def test_what_was_not_chosen_is_reviewed_too_and_then_is(
    made: Path, chosen: Path, tmp_path: Path
) -> None:
    """Images that the set has not, as a run's has none, come from the pool; what is kept of the
    others is chosen by ``coti curate --review``, what is dropped is not."""
    found = read_set(made)
    assert len(found.chosen) == 20
    (tmp_path / "run").mkdir()
    write_set(tmp_path / "run", found, ())
    shown = ReviewedSet(read_set(tmp_path / "run"), "ann", also=2)
    with closing(shown):
        images = shown.images()
        assert [each["order"] for each in images] == [*range(1, 21), 0, 0]
        assert images[-1]["why"] == "not of the best 20"
        assert all(shown.thumbnail(each["image"])[:2] == b"\xff\xd8" for each in images)
    kept, dropped = images[-1], images[0]
    with closing(ReviewedSet(read_set(chosen), "ann", also=2)) as shown:
        shown.decide(kept["image"], "keep", "")
        shown.decide(dropped["image"], "drop", "")
    words = ["curate", found.pool, "--seeds", str(BOOTS / "seeds"), "--name", "ankle boot"]
    words += ["--budget", "20", "--preset", "bundled", "--set", "strategy=nearest_to_seeds"]
    words += ["--set", "aesthetic.steps=5", "--review", str(chosen), "--output"]
    done = CliRunner().invoke(cli, [*words, str(tmp_path / "again")], catch_exceptions=False)
    again = read_set(tmp_path / "again")
    assert again.chosen["sha256"].iloc[0] == kept["image"]
    why = again.table.set_index("sha256")["why"]
    assert why[dropped["image"]] == "held back by review"
    assert "1  held back by review" in done.output
    lone = replace(found, table=found.table.assign(image=""), pool="", folder=tmp_path / "run")
    with closing(ReviewedSet(lone, "ann")) as shown, pytest.raises(PoolError, match="give --pool"):
        shown.thumbnail(dropped["image"])


def test_the_page_is_accessible(chosen: Path, browser: Any) -> None:
    """Wide and narrow, light and dark, with its dialogs; nothing sticks out."""
    image = str(read_set(chosen).chosen["sha256"].iloc[0])
    ReviewWriter(chosen / "review", "bob").decide(image, "drop")
    with serving(chosen, "ann") as server:
        for width in (WIDE, PHONE):
            for scheme in ("light", "dark"):
                browser.set_viewport_size({"width": width, "height": 900})
                browser.emulate_media(color_scheme=scheme)
                filled(browser, server.address)
                for key in ("", "?", "c"):
                    if key:
                        browser.keyboard.press(key)
                    assert faults(browser) == [], (width, scheme, key)
                    browser.keyboard.press("Escape")
                outside = browser.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert outside <= 0, (width, scheme)
    browser.set_viewport_size({"width": WIDE, "height": 900})
