"""Griffe extension: docstrings are written for readers of the source, the reference is Markdown.

An example (``>>> …``) becomes code, without a heading above it Markdown takes it for a quotation.
A role such as ``:func:`frechet_distance``` becomes a link, where the reference has what it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import griffe

__all__ = ["Markup", "to_markdown"]

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n|$).*)*", re.MULTILINE)
_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")


def to_markdown(docstring: str, resolve: Callable[[str], str]) -> str:
    """The docstring with fenced examples and linked roles.

    Args:
        docstring: without the source's indentation.
        resolve: the full dotted name of a name as it is known there.
    """

    def link(found: re.Match[str]) -> str:
        target = resolve(found[1])
        return f'<autoref identifier="{target}" optional><code>{found[1]}</code></autoref>'

    return _EXAMPLE.sub(r"```pycon\n\g<0>\n```", _ROLE.sub(link, docstring))


class Markup(griffe.Extension):
    """Mends the docstring of everything that is read."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Once all of it is read, so that imported names are known."""
        self._mend(pkg)

    def _mend(self, found: griffe.Object) -> None:
        def resolve(name: str) -> str:
            try:
                return found.resolve(name)
            except griffe.NameResolutionError:
                return name

        if found.docstring:
            found.docstring.value = to_markdown(found.docstring.value, resolve)
        for member in found.members.values():
            if isinstance(member, griffe.Object):
                self._mend(member)
