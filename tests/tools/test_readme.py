"""The pages' numbers come from the results."""

from __future__ import annotations

from pathlib import Path

from tools.readme import EXPERIMENTS, README, write_headline

PAGE = """# Table 1

Facts.

## Mean over 2 concepts, 3 seeds

| | fd |
|---|---|
| COTI | 0.4 ± 0.1 |

## Beside the paper

| COTI | ours |
|---|---|
| share | 0.04 |

## trouser

| | fd |
|---|---|
| COTI | 0.5 |
"""


def test_the_headline_is_the_means_and_the_paper_and_replaces_the_last(tmp_path: Path) -> None:
    """Between the marks and nowhere else; once more changes nothing."""
    results, page = tmp_path / "table1.md", tmp_path / "experiments.md"
    results.write_text(PAGE, encoding="utf-8")
    page.write_text(
        "before\n<!-- table1:begin -->\nold\n<!-- table1:end -->\nafter\n", encoding="utf-8"
    )
    write_headline(results, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- table1:begin -->\n")
    assert text.endswith("<!-- table1:end -->\nafter\n")
    assert "| COTI | 0.4 ± 0.1 |" in text
    assert "| share | 0.04 |" in text
    assert "old" not in text
    assert "0.5" not in text
    write_headline(results, page)
    assert page.read_text(encoding="utf-8") == text


def test_the_pages_have_the_marks_and_the_results_as_they_are(tmp_path: Path) -> None:
    """Table 1 on the page is the published one; the quickstart's table has its place."""
    text = EXPERIMENTS.read_text(encoding="utf-8")
    copy = tmp_path / "experiments.md"
    copy.write_text(text, encoding="utf-8")
    write_headline(page=copy)
    assert copy.read_text(encoding="utf-8") == text
    assert README.read_text(encoding="utf-8").count("<!-- quickstart:begin -->\n```\n") == 1
