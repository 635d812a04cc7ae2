"""What was learned is used: commands on the registry's champion, the studio in a real browser."""

from __future__ import annotations

import csv
import errno
import json

import pytest

from coti.core.images import read_image
from coti.dataset.chosen_set import read_set
from coti.selection.decisions import read_review
from tests.e2e.conftest import TINY, Workspace

pytestmark = pytest.mark.e2e

LOOK = """
import json, sys
from tools.screenshots import browser_page, studio, wait_until_drawn
seen, told = [], {}
with studio() as address, browser_page() as page:
    page.on("request", lambda request: seen.append(request.url))
    page.goto(address)
    wait_until_drawn(page)
    told["champion"] = page.get_by_text("Champion (the same)").count()
    told["images"] = page.get_by_role("img", name="images of 'a photo of a {}' with").count()
    told["address"] = address
    link = page.get_by_role("link", name="Keep, drop, rate and recaption its images")
    link.wait_for(timeout=120000)
    review = page.context.browser.new_page()
    review.goto(link.get_attribute("href"))
    review.locator(".card.current").wait_for()
    told["reviewed"] = review.locator(".card").count()
    with review.expect_response(lambda answer: answer.url.endswith("/decide")):
        review.keyboard.press("k")
    review.close()
    page.evaluate(open(sys.argv[2], encoding="utf-8").read())
    found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    told["faults"] = [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]
    slider = page.get_by_role("slider").last
    kept = int(slider.input_value())
    told["kept first"] = page.get_by_text(f"cycle {kept}, kept, the same noise").count()
    slider.focus()
    slider.press("Home" if kept else "End")
    page.get_by_text(f"cycle {1 - kept}, the same noise").wait_for(timeout=120000)
    told["steps"] = page.get_by_role("slider", name="Solver steps").input_value()
    prompt = page.get_by_role("textbox", name="Prompt")
    prompt.fill("a photo of a <unknown>")
    prompt.press("Enter")
    page.get_by_text("uses <unknown>").wait_for(timeout=120000)
    told["errors"] = page.get_by_text("uses <unknown>").count()
    page.screenshot(path=sys.argv[1])
own = (address, "ws" + address[4:], "data:", "blob:")
told["elsewhere"] = [url for url in seen if not url.startswith(own)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def learned(workspace: Workspace) -> Workspace:
    """A workspace after one run of the pipeline; its embedding is the champion."""
    workspace.run(workspace.config("use"))
    return workspace


def test_the_champion_is_generated_compared_edited_and_measured(learned: Workspace) -> None:
    """By name, from the registry; cycles and versions side by side; MLflow has the evaluation."""
    quick = ("--num-inference-steps", "2", "--concept", "ankle boot")
    told = learned.command(
        "coti", "generate", *quick, "--num-images", "2", "--output", "one",
        "--compare", "without", "--compare", "cycles", "--compare", "versions",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    names = {path.name.rsplit("-", 1)[0] for path in (learned.root / "one").glob("*-0*.png")}
    assert {"without", "cycle-0", "cycle-1"} <= names
    assert any(name.startswith("ankle-boot-v1") for name in names)
    assert told.stderr.strip() == "", "our lines only"

    told = learned.command(
        "coti", "evaluate", *quick, "--word", "foot", "--images-per-prompt", "2",
        "--references", "assets/pools/ankle_boot/seeds", "--output", "three",
        "--prompts-file", "configs/prompts/bundled.txt",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    with (learned.root / "three" / "scores.csv").open(newline="") as file:
        assert [row["num_vectors"] for row in csv.DictReader(file)] == ["0", "4"]
    assert "MLflow: coti ui --run" in told.stdout


def test_what_is_missing_is_one_line(learned: Workspace) -> None:
    """Exit 1, one line, no traceback."""
    copy = learned.root / "copy.safetensors"
    copy.write_bytes((learned.latest() / "learned_embeds.safetensors").read_bytes())
    for words, text in (
        (("--concept", "bag"), "registry has no concept 'bag' (registered: ankle-boot)"),
        (("--concept", "ankle boot@7"), "has no version '7'"),
        (("--embedding", "nothing"), "There is no embedding 'nothing'"),
        (
            ("--embedding", "copy.safetensors", "--compare", "cycles"),
            "cycles of copy are not",
        ),
    ):
        done = learned.command("coti", "generate", *words)
        assert done.returncode == 1
        assert text in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_the_studio_in_a_browser(learned: Workspace) -> None:
    """Samples as the run made its own, the kept cycle, another one, an error as a sentence; only
    loopback is listened on and asked, and axe-core finds no fault. It leads to the
    review of its set."""
    from tools.screenshots import chromium

    if chromium() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    image = learned.root / "studio.png"
    axe = pytest.importorskip("axe_playwright_python.base")
    done = learned.command("python", "-c", LOOK, str(image), str(axe.AXE_FILE_PATH))
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["champion"] == 1
    assert told["images"] >= 3
    assert told["faults"] == []
    assert told["kept first"] == 1
    assert told["steps"] == str(TINY["generation"]["num_inference_steps"])
    assert told["errors"] >= 1
    assert told["reviewed"] == len(read_set(learned.latest()).chosen)
    assert list(read_review(learned.latest()).verdicts.values()) == ["keep"]
    assert told["elsewhere"] == []
    assert read_image(image).width == 1280


def test_the_studio_is_not_reachable_from_outside(learned: Workspace) -> None:
    """Bound to 127.0.0.1: this machine's other addresses refuse."""
    code = (
        "import socket, urllib.parse\n"
        "from tools.screenshots import studio\n"
        "with studio() as address:\n"
        "    port = urllib.parse.urlsplit(address).port\n"
        "    with socket.socket() as probe:\n"
        "        print(probe.connect_ex(('127.0.0.2', port)))\n"
    )
    done = learned.command("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(errno.ECONNREFUSED)
