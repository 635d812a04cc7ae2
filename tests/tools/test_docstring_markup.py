"""Docstrings as the reference shows them."""

from __future__ import annotations

from tools.docstring_markup import to_markdown


def test_an_example_is_code_to_its_end() -> None:
    """With its output, up to the empty line; what is indented is a section of its own."""
    docstring = "Half.\n\n>>> half(4)\n2\n\nMore.\n\nExamples:\n    >>> half(2)\n    1"
    assert to_markdown(docstring, str) == (
        "Half.\n\n```pycon\n>>> half(4)\n2\n```\n\nMore.\n\nExamples:\n    >>> half(2)\n    1"
    )


def test_a_role_is_a_link_where_there_is_something_to_link() -> None:
    """By its full name; it is shown as it was written."""
    known = {"kid": "coti.metrics.kid.kid"}
    assert to_markdown("As :func:`kid`.", known.__getitem__) == (
        'As <autoref identifier="coti.metrics.kid.kid" optional><code>kid</code></autoref>.'
    )
