"""Look at the studio in headless Chromium: `python -m tools.studio_screenshot` makes its image.

Needs Debian's package ``chromium`` and the extra ``dev`` (Playwright, which drives it).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from cli.studio import command_of
from ops.quiet import ROOT

__all__ = [
    "browser_page",
    "chromium",
    "free_port",
    "main",
    "serving",
    "wait_until_drawn",
    "wait_until_served",
]

IMAGE = ROOT / "docs" / "images" / "studio.png"
HOST = "127.0.0.1"
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


def chromium() -> str | None:
    """The path of a Chromium or Chrome, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def serving(seconds: float = 120.0, env: dict[str, str] | None = None) -> Iterator[str]:
    """Inside, the studio is served on a free port of this machine; gives its address.

    Raises:
        SystemExit: it does not answer within ``seconds``.
    """
    port = free_port()
    address = f"http://{HOST}:{port}"
    words = command_of(HOST, port)
    process = subprocess.Popen(
        words, cwd=ROOT, env=env or dict(os.environ), stdout=subprocess.DEVNULL
    )
    try:
        wait_until_served(process, f"{address}/_stcore/health", "The studio", seconds)
        yield address
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def wait_until_served(
    process: subprocess.Popen[bytes], address: str, name: str, seconds: float
) -> None:
    """Wait until ``address`` answers.

    Raises:
        SystemExit: it does not within ``seconds``, or ``process`` has ended.
    """
    until = time.monotonic() + seconds
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{name} does not answer at {address}.")
        time.sleep(0.3)


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


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
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


def wait_until_drawn(page: Any, seconds: float = 300.0) -> None:
    """Wait until the page has come to rest, its last part drawn."""
    page.get_by_text("Refused, best first").wait_for(timeout=seconds * 1000)
    page.wait_for_selector("[data-testid=stStatusWidget]", state="detached", timeout=seconds * 1000)
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "[...document.images].every(image => image.complete && image.naturalWidth > 0)",
        timeout=seconds * 1000,
    )


def main(path: Path = IMAGE) -> None:
    """Write the screenshot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with serving() as address, browser_page() as page:
        page.goto(address)
        wait_until_drawn(page)
        page.screenshot(path=str(path))
    print(path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
