"""The tables of `coti registry`."""

from __future__ import annotations

import pytest

from cli.registry_commands import _print_table


@pytest.mark.parametrize("value", ["boot [/red]", "[red]", "[bold]a[/bold]", ":boot:", "[@click]"])
def test_a_strangers_text_is_printed_as_it_is(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a heading and in a cell: brackets are no markup of rich's, colons no emoji."""
    _print_table([value, "b"], [[value, "x"], [[value, value], 1.5]])
    heading, first, second = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert heading.split("  ")[0] == value
    assert first.startswith(f"{value} ")
    assert second.startswith(f"{value}, {value} ")
