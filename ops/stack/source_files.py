"""What a source file says to a machine: its meaning, and the modules that it names."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from coti.core.errors import CotiError
from coti.core.whole_files import write_whole

__all__ = ["Source", "Sources"]

_PLACE = re.compile(r"coti(\.\w+)+(?=:\w+$)")
"""A registry's ``module:attribute``, which is imported when it is asked for."""


class Source(NamedTuple):
    """Of one file."""

    meaning: str
    """Hash of the source without comments, layout and strings that stand alone."""
    names: list[str]
    """Modules, and what is imported of them, whether or not there is such a module."""


class Sources:
    """Source files, and a file that remembers by their content what they say.

    A command parses only what was edited since the last one. A file that cannot be read or written
    is done without.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        # What is remembered of other code or another Python's syntax trees is nobody's.
        self._key = hashlib.sha256(Path(__file__).read_bytes() + repr(sys.version_info).encode())
        self._found: dict[Path, Source] = {}
        self._by_content: dict[str, Source] = {}
        self._new = False
        with suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(memory.read_text(encoding="utf-8"))
            self._by_content = {key: Source(*value) for key, value in known.items()}

    def read(self, path: Path) -> Source:
        """What a file says. Of one path the same for as long as this object lives."""
        if path not in self._found:
            content = path.read_bytes()
            key = self._key.copy()
            key.update(content)
            found = self._by_content.get(key.hexdigest())
            if found is None:
                found = _parsed(content)
                self._by_content[key.hexdigest()], self._new = found, True
            self._found[path] = found
        return self._found[path]

    def remember(self) -> None:
        """Write down what is new, for the next command."""
        if self._new:
            latest = dict(list(self._by_content.items())[-_MOST:])
            with suppress(OSError, CotiError):
                write_whole(self._memory, json.dumps(latest).encode())
            self._new = False


_MOST = 2_000


def _parsed(content: bytes) -> Source:
    tree = ast.parse(content)
    names: set[str] = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            place = _PLACE.match(node.value)
            names |= {place.group()} if place else set()
    meaning = hashlib.sha256(ast.dump(_WithoutStrings().visit(tree)).encode()).hexdigest()
    return Source(meaning, sorted(names))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """What may be executed: not what type checkers alone read, nor a module's lazy exports."""
    for child in ast.iter_child_nodes(node):
        checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        lazy = isinstance(child, ast.FunctionDef) and child.name == "__getattr__"
        if not checked and not lazy:
            yield child
            yield from _run(child)


class _WithoutStrings(ast.NodeTransformer):
    """Takes out the strings that stand alone, which only readers see."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else self.generic_visit(node)
