"""Which package imports which, read from the source: arrows may only point upwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ORDER", "Import", "downward", "read_imports"]

_STATIONS = (
    "core",
    "settings",
    "encoders",
    "scores",
    "selection",
    "inversion",
    "generation",
    "metrics",
    "loop",
    "pool",
    "dataset",
    "experiments",
    "report",
)
ORDER = (
    *(f"coti.{name}" for name in _STATIONS),
    "coti",
    "coti.commands",
    "materializers",
    "ops.quiet",
    "ops.stack",
    "ops.tracking",
    "ops.registry",
    "ops",
    "steps",
    "pipelines",
    "cli",
)
"""Packages from the top down: each may import those above it. ``coti`` is ``coti/__init__.py``,
``ops`` the files that lie in none of its packages."""


@dataclass(frozen=True)
class Import:
    """A line that imports another package of the project."""

    importer: str
    imported: str
    place: str
    """``file:line``."""


def read_imports(root: Path) -> list[Import]:
    """All imports between the packages of :data:`ORDER`, those inside functions, too."""
    found = []
    for top in dict.fromkeys(name.split(".")[0] for name in ORDER):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            importer = _package(".".join(parts))
            for line, module in _modules(path):
                imported = _package(module)
                # Every import of a part of coti is one of the package itself, too.
                if module in ("coti", "coti.__version__"):
                    continue
                if imported in ORDER and importer in ORDER and imported != importer:
                    place = f"{path.relative_to(root).as_posix()}:{line}"
                    found.append(Import(importer, imported, place))
    return found


def downward(imports: list[Import]) -> list[Import]:
    """Those that point the wrong way."""
    return [each for each in imports if ORDER.index(each.imported) > ORDER.index(each.importer)]


def _modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported; for ``from a import b`` it is ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{each.name}") for each in node.names)


def _package(module: str) -> str:
    """The package of :data:`ORDER` that a dotted name is of."""
    first, _, rest = module.partition(".")
    inside = f"{first}.{rest.split('.')[0]}"
    return inside if inside in ORDER else first
