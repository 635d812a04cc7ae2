"""The docs' screenshots, in headless Chromium: `python -m tools.screenshots studio|mlflow|review`.

``studio`` is the studio as it stands; ``mlflow`` is MLflow's UI, with the finished runs of one
experiment side by side on chosen axes; ``review`` is the review page of a set that it
curates from the bundled pool. All need Debian's package ``chromium`` and the extra
``dev`` (Playwright, which drives it).
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from cli.studio import command_of
from coti.core.errors import RegistryError
from ops.quiet import ROOT, quiet_terminal

__all__ = ["browser_page", "chromium", "comparison", "serving", "studio", "wait_until_drawn"]

IMAGES = ROOT / "docs" / "images"
HOST = "127.0.0.1"
WAIT = 300.0
"""Seconds, for a server to answer and for a page to be drawn."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A root user's, and those that keep Chromium from looking for hosts of its maker's."""
PLOT = ".js-plotly-plot .parcoords"
"""What MLflow's page shows once it is drawn."""


def chromium() -> str | None:
    """The path of a Chromium or Chrome, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def serving(command: Callable[[str, int], list[str]], health: str) -> Iterator[str]:
    """Inside, a server is up on a free port of this machine; gives its address.

    Args:
        command: its words, for a host and a port.
        health: the path that answers once it is up.

    Raises:
        SystemExit: it does not answer in time, or has ended.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
    address = f"http://{HOST}:{port}"
    words = command(HOST, port)
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + WAIT
    try:
        while True:
            try:
                urlopen(address + health, timeout=2).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{words[2]} does not answer at {address}.") from error
                time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait()


def studio() -> AbstractContextManager[str]:
    """Inside, the studio is served."""
    return serving(command_of, "/_stcore/health")


@contextmanager
def browser_page(width: int = 1280, height: int = 1800) -> Iterator[Any]:
    """Inside, a page of headless Chromium.

    Raises:
        SystemExit: there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    program = chromium()
    if program is None:
        raise SystemExit("There is no Chromium: `apt-get install chromium`.")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(1000 * WAIT)
            yield page
        finally:
            browser.close()


def wait_until_drawn(page: Any) -> None:
    """Wait until the studio's page has come to rest, its last part drawn."""
    page.get_by_text("Did not pass, best first").wait_for()
    page.wait_for_selector("[data-testid=stStatusWidget]", state="detached")
    page.wait_for_load_state("networkidle")
    # Asked again and again from here: the page lets nothing evaluate a text inside it.
    drawn = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    for _ in range(300):
        if page.evaluate(drawn):
            return
        page.wait_for_timeout(100)
    raise TimeoutError("the studio's images are not drawn after 30 s")


def comparison(client: Any, experiment: str, most: int = 50) -> str:
    """The page of MLflow's UI that compares the newest finished runs of an experiment.

    Args:
        client: an ``MlflowClient``.
        experiment: its name: a concept, or an experiment such as ``table2``.
        most: runs.

    Raises:
        RegistryError: there is no such experiment, or it has not two finished runs.
    """
    found = client.get_experiment_by_name(experiment)
    runs = [] if found is None else client.search_runs(
        [found.experiment_id],
        "attributes.status = 'FINISHED' and tags.`coti.cycle` = 'parent'",
        max_results=most,
    )  # fmt: skip
    if len(runs) < 2:
        raise RegistryError(
            f"MLflow's experiment {experiment!r} has {len(runs)} finished runs: two are needed; "
            "name another, or run it again with other settings."
        )
    # As the UI itself writes it: JSON in the address.
    ids = quote(json.dumps([run.info.run_id for run in runs]))
    experiments = quote(json.dumps([found.experiment_id]))
    return f"/#/compare-runs?runs={ids}&experiments={experiments}"


def choose(page: Any, place: int, names: Sequence[str]) -> None:
    """Choose axes as a user would, by typing their names and clicking.

    Args:
        page: the comparison.
        place: 0 for the parameters, 1 for the metrics.
        names: in the order wanted.
    """
    box = page.locator("[role=tabpanel] [role=combobox]").nth(place)
    for name in names:
        box.click(force=True)
        box.fill(name, force=True)
        page.get_by_title(name, exact=True).last.click()
    page.keyboard.press("Escape")


def draw_mlflow(given: argparse.Namespace) -> None:
    """Write the comparison of the active stack's runs."""
    quiet_terminal()
    from ops.tracking.active_tracker import active_tracker

    tracker = active_tracker()
    where = comparison(tracker.client, given.experiment)

    def command(host: str, port: int) -> list[str]:
        words = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracker.uri]
        return [*words, "--workers", "1", "--host", host, "--port", str(port)]

    with serving(command, "/health") as address, browser_page(1400, 900) as page:
        page.goto(address + where)
        page.locator(PLOT).first.wait_for()
        for panel in ("Close", "Toggle sidebar"):
            button = page.get_by_label(panel, exact=True).first
            if button.is_visible():
                button.click()
        page.get_by_test_id("clear-button").click()
        choose(page, 0, given.parameters)
        choose(page, 1, given.metrics)
        page.mouse.click(5, 5)
        page.locator(PLOT).first.wait_for()
        page.wait_for_timeout(2000)  # the plot is drawn anew, and nothing says when it is done
        page.screenshot(path=IMAGES / "mlflow.png")


def draw_studio(given: argparse.Namespace) -> None:
    """Write the studio's first page."""
    with studio() as address, browser_page() as page:
        page.goto(address)
        wait_until_drawn(page)
        page.screenshot(path=IMAGES / "studio.png")


def draw_review(given: argparse.Namespace) -> None:
    """Write the review page of a set of the bundled pool, some images decided, wide and narrow."""
    import threading

    import coti
    from coti.core.whole_files import temporary_folder
    from coti.dataset.chosen_set import read_set
    from coti.dataset.review_page import ReviewedSet, review_server

    boots = ROOT / "assets" / "pools" / "ankle_boot"
    with temporary_folder() as folder:
        found = coti.curate(
            boots / "seeds", boots / "pool", concept="ankle boot", count=60, preset="bundled",
            strategy="filtered",
        )  # fmt: skip
        reviewed = ReviewedSet(read_set(found.save(folder / "boots")), "ann")
        images = [str(each["image"]) for each in reviewed.images()]
        for place, what, value in (
            (0, "keep", ""), (1, "drop", ""), (2, "rating", "9"), (3, "keep", ""),
            (4, "caption", "a laced boot"), (7, "drop", ""), (8, "keep", ""), (8, "rating", "10"),
        ):  # fmt: skip
            reviewed.decide(images[place], what, value)
        for image in images:
            reviewed.thumbnail(image)
        server, address = review_server(reviewed)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, width, height in (("review", 1280, 900), ("review_phone", 390, 844)):
            with browser_page(width, height) as page:
                page.goto(address)
                page.locator(".card.current").wait_for()
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(500)
                page.screenshot(path=IMAGES / f"{name}.png")
        server.shutdown()
        server.server_close()
        reviewed.close()


def main() -> None:
    """Draw the one that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    which = parser.add_subparsers(required=True)
    which.add_parser("studio").set_defaults(draw=draw_studio)
    which.add_parser("review").set_defaults(draw=draw_review)
    mlflow = which.add_parser("mlflow")
    mlflow.set_defaults(draw=draw_mlflow)
    mlflow.add_argument("experiment", nargs="?", default="table2")
    axes = ["strategy", "concept", "seed"]
    mlflow.add_argument("--parameters", nargs="+", default=axes)
    axes = ["best/image_steps", "best/r_precision", "best/fd_judge"]
    mlflow.add_argument("--metrics", nargs="+", default=axes)
    given = parser.parse_args()
    given.draw(given)


if __name__ == "__main__":
    main()
