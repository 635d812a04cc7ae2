"""Who imports whom, read from the source: arrows may only point upwards, never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ORDER", "Import", "circles", "downward", "read_imports"]

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
    "ranking",
    "api",
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
    for module, path in _sources(root).items():
        importer = _package(module)
        for line, name in _modules(path):
            imported = _package(name)
            # Every import of a part of coti is one of the package itself, too.
            if name in ("coti", "coti.__version__"):
                continue
            if imported in ORDER and importer in ORDER and imported != importer:
                place = f"{path.relative_to(root).as_posix()}:{line}"
                found.append(Import(importer, imported, place))
    return found


def downward(imports: list[Import]) -> list[Import]:
    """Those that point the wrong way."""
    return [each for each in imports if ORDER.index(each.imported) > ORDER.index(each.importer)]


def circles(root: Path) -> list[list[str]]:
    """Modules that reach each other through imports, those inside functions and for types, too.

    They are the strongly connected components of more than one module. That an import runs the
    ``__init__`` of the module's packages, too, is not counted.
    """
    sources = _sources(root)
    imports = {
        module: {
            name if name in sources else name.rpartition(".")[0] for _, name in _modules(path)
        }.intersection(sources)
        - {module}
        for module, path in sources.items()
    }
    reached = {module: _reached(module, imports) for module in imports}
    found = {
        frozenset({module, *(other for other in reached[module] if module in reached[other])})
        for module in imports
        if module in reached[module]
    }
    return sorted(sorted(each) for each in found)


def _reached(start: str, imports: Mapping[str, set[str]]) -> set[str]:
    """All that a module imports, directly or through others."""
    reached, waiting = set[str](), [start]
    while waiting:
        new = imports[waiting.pop()] - reached
        reached |= new
        waiting.extend(new)
    return reached


def _sources(root: Path) -> dict[str, Path]:
    """The project's modules and their files."""
    found = {}
    for top in dict.fromkeys(name.split(".")[0] for name in ORDER):
        for path in sorted((root / top).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            found[module.removesuffix(".__init__")] = path
    return found


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
