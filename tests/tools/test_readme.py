"""The README's numbers come from a run."""

from __future__ import annotations

from tools.readme import README


def test_the_quickstarts_table_has_its_place() -> None:
    """Once."""
    assert README.read_text(encoding="utf-8").count("<!-- quickstart:begin -->\n```\n") == 1
