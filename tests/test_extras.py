"""Whatever the library imports, its metadata asks for."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
AROUND = ("pipeline", "studio", "server", "docs", "dev")
"""Extras of the project around the library, which a wheel holds nothing of."""


def _imported() -> dict[str, str]:
    """Module of another project to a file of ours that imports it."""
    found: dict[str, str] = {}
    for path in (ROOT / "coti").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            else:
                continue
            found |= {name.partition(".")[0]: path.relative_to(ROOT).as_posix() for name in names}
    return {name: where for name, where in found.items() if name not in sys.stdlib_module_names}


def test_the_library_declares_what_it_imports() -> None:
    """As a dependency, or in an extra of the library's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(e for n in extras if n not in AROUND for e in extras[n])]
    declared = {canonicalize_name(Requirement(each).name) for each in lines}
    brings = packages_distributions()
    missing = {
        name: where
        for name, where in _imported().items()
        if name != "coti"
        and not declared & {canonicalize_name(each) for each in brings.get(name, [name])}
    }
    assert missing == {}
