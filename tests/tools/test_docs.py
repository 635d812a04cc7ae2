"""The pages: short where they should be, and nothing they name is missing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import coti
from ops.quiet import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
WRITTEN = [page for page in PAGES if "results" not in page.parts]
"""By people; docs/results is written by the experiments."""
ELSEWHERE = {
    "coti/coti-mlflow",
    "coti/coti-mysql",
    "coti/coti-postgres",
    "coti/coti-s3",
    "coti/coti-zenml",
    "coti/coti_checkpoints/",
    "coti/coti_latents/",
    "coti/logs/",
}
"""In the bucket, or a secret of the namespace."""
_PACKAGES = "(?:coti|tools|benchmarks)"
_FOLDERS = (
    "(?:coti|ops|steps|pipelines|materializers|cli|configs|k8s|assets|benchmarks|tools|tests)"
)


def test_the_readme_is_an_introduction() -> None:
    """Details are on their pages."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_there_is_one_version() -> None:
    """Package, project and citation; the changelog's newest heading."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {coti.__version__, citation["version"]} == {version}
    changes = re.findall(r"^## \[([\d.]+)\] - (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert changes[0] == (version, citation["date-released"])


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_exists(page: Path) -> None:
    """Modules with their functions, files below the folders of the repository."""
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        return  # it names what was
    missing = [
        f"{module}.{name}"
        for module, name in re.findall(rf"\b({_PACKAGES}(?:\.[a-z_0-9]+)+)\.(\w+)", text)
        if name != "NAME" and not _exists(f"{module}.{name}".split("."))
    ]
    for path in re.findall(rf"`({_FOLDERS}/[\w./-]+)`", text):
        if "NAME" not in path and path not in ELSEWHERE and not (ROOT / path).exists():
            missing.append(path)
    assert missing == []


def _exists(parts: list[str]) -> bool:
    """Whether a dotted name is a module, or a top-level name of one, without importing it."""
    for length in range(len(parts), 0, -1):
        folder = ROOT.joinpath(*parts[:length])
        path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        if path.is_file() or (folder.is_dir() and length == len(parts)):
            rest = parts[length:]
            return not rest or rest[0] in _names(path)
    return False


def _names(path: Path) -> set[str]:
    """What a module defines or hands on."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.split(".")[-1])
    return found


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_its_links_lead_somewhere(page: Path) -> None:
    """Where it is read, on a code host; the site's links are checked when it is built."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path = link.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), link


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_templates_and_citation_are_valid(schema: str, pattern: str) -> None:
    """Against the published schemas."""
    files = [str(path) for path in ROOT.glob(pattern)]
    assert files
    tool = Path(sys.executable).with_name("check-jsonschema")
    words = [tool, "--builtin-schema", f"vendor.{schema}", "--default-filetype", "yaml", *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
