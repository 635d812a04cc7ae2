"""The README's numbers come from the results' pages."""

from __future__ import annotations

from pathlib import Path

from tools.readme import write_headline

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
    page, readme = tmp_path / "table1.md", tmp_path / "README.md"
    page.write_text(PAGE, encoding="utf-8")
    readme.write_text(
        "before\n<!-- table1:begin -->\nold\n<!-- table1:end -->\nafter\n", encoding="utf-8"
    )
    write_headline(page, readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- table1:begin -->\n")
    assert text.endswith("<!-- table1:end -->\nafter\n")
    assert "| COTI | 0.4 ± 0.1 |" in text
    assert "| share | 0.04 |" in text
    assert "old" not in text
    assert "0.5" not in text
    write_headline(page, readme)
    assert readme.read_text(encoding="utf-8") == text
