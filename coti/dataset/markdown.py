"""Texts of strangers in Markdown and its YAML header, as what they are and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["code", "plain", "quoted", "rows", "table"]


def quoted(text: str) -> str:
    """A value in YAML's double quotes."""
    return '"' + re.sub(r'[\\"]', " ", _line(text)) + '"'


def _line(text: str) -> str:
    """A text in one line, blanks for what is not printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def plain(text: str) -> str:
    """A text as Markdown shows it, whatever is in it: no link, no markup, no cell's end.

    >>> print(plain("boots | [red]"))
    boots \\| \\[red\\]
    """
    # An underscore inside a word is only that.
    return re.sub(r"([\\`*{}\[\]<>|#&~$!]|(?<!\w)_|_(?!\w))", r"\\\1", _line(text))


def code(text: str) -> str:
    """A text between as many backticks as it has not itself."""
    text = _line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    blank = " " if "`" in text else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def rows(values: Mapping[str, object]) -> list[str]:
    """Lines of a table of names and values, without a header."""
    lines = (f"| {plain(name)} | {plain(str(value))} |" for name, value in values.items())
    return ["| | |", "|---|---|", *lines]


def table(header: Sequence[str], cells: Sequence[Sequence[object]]) -> list[str]:
    """A table's lines; what is no text is shown as it prints.

    >>> table(["a", "b"], [["x|y", 1]])
    ['| a | b |', '|---|---|', '| x\\\\|y | 1 |']
    """
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(plain(str(cell)) for cell in row) + " |" for row in cells]
