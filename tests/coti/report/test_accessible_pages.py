"""WCAG 2.1 AA by axe-core, of every page that is written: wide and narrow, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coti.report import write_report
from tests.coti.report.test_closed_pages import pages, verdict_of
from tests.coti.report.test_report import report
from tools.screenshots import browser_page, chromium

pytestmark = pytest.mark.slow

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
WIDE, PHONE = 1280, 390
"""Pixels."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all pages."""
    if chromium() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with browser_page(WIDE, 900) as page:
        yield page


def faults(page: Any) -> list[str]:
    """What axe-core finds on the page as it is now: the rule, the element, the colours."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page, options=RULES).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"][:3]
    ]


def test_pages_are_accessible(browser: Any, tmp_path: Path) -> None:
    """No fault in any of four ways to see them; on a phone nothing sticks out, and what does not
    fit in its frame can be reached by keys."""
    judged = verdict_of("ankle boot")
    written = pages("ankle boot", tmp_path, judged)
    whole = write_report(report(), tmp_path / "whole.html").read_text(encoding="utf-8")
    for name, text in {**written, "run": whole}.items():
        path = tmp_path / f"{name}-shown.html"
        path.write_text(text, encoding="utf-8")
        for width in (WIDE, PHONE):
            for scheme in ("light", "dark"):
                browser.set_viewport_size({"width": width, "height": 900})
                browser.emulate_media(color_scheme=scheme)
                browser.goto(path.as_uri())
                browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                assert faults(browser) == [], (name, width, scheme)
                outside = browser.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert outside <= 0, (name, width)
