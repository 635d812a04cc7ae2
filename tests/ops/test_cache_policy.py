"""What a cached result depends on."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from zenml.steps import BaseStep

from ops.stack.cache_policy import PACKAGES, REPORTS
from ops.stack.locations import ROOT


def _module(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def _files() -> tuple[list[Path], list[Path]]:
    every = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    reports = [p for p in every if p.relative_to(ROOT).as_posix().startswith(REPORTS)]
    return reports, [path for path in every if path not in reports]


def test_no_cached_code_reads_what_the_cache_does_not_see() -> None:
    """Reports are outside the key: nothing that is cached may import them."""
    reports, others = _files()
    names = {_module(path).removesuffix(".__init__") for path in reports}
    assert names
    for path in others:
        assert not _imports(path) & names, path


@pytest.mark.parametrize("name", [name for name in REPORTS if name.startswith("steps/")])
def test_steps_outside_the_cache_key_are_never_cached(name: str) -> None:
    """A cached one would come back as it was before an edit."""
    module = importlib.import_module(_module(ROOT / name))
    for value in vars(module).values():
        if isinstance(value, BaseStep):
            assert value.configuration.enable_cache is False
