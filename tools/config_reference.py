"""Write ``docs/configuration.md`` from the settings: `python -m tools.config_reference`.

The classes are the reference; this page is their fields, types, defaults and prose, in a browser.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from coti.core.registry import Registry
from coti.encoders.registry import ENCODERS
from coti.inversion.adapters.registry import ADAPTERS
from coti.inversion.families.registry import FAMILIES
from coti.pool.sources import POOL_SOURCES
from coti.selection import STRATEGIES
from coti.settings.presets import PRESETS, says
from ops.quiet import ROOT

__all__ = ["PAGE", "reference"]

PAGE = ROOT / "docs" / "configuration.md"
PARTS = ("run", "model", "training", "scoring", "evaluation", "baselines", "image_fit", "ingestion")
SOURCES = tuple(f"coti/settings/{part}.py" for part in PARTS)

HEAD = """# Configuration

Written by `python -m tools.config_reference` from the classes in `coti/settings/`;
a test keeps it up to date. A run file holds these keys under
`parameters: config:`; the parts are nested under the names that `RunSettings` gives them.

A key stands once in a file, a file has at most 500,000 characters, and YAML's aliases and merge
keys may stand for eight times as many. Numbers are bounded, generously, below 0 as above it; names
are not empty unless their default is.
"""

REGISTRIES: dict[str, Registry[Any]] = {
    "`strategy`": STRATEGIES,
    "`concept_score.encoder`, beside `scorer`": ENCODERS,
    "`pool_rules.kind`, beside `auto`": POOL_SOURCES,
    "none: recognised by what `model.base_model` holds": FAMILIES,
    "none: `coti train --adapter`": ADAPTERS,
}
"""By the key that takes its names."""


def reference() -> str:
    """The whole page."""
    parts = [HEAD, _presets()]
    for source in SOURCES:
        tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                parts.append(_section(node))
    parts.append(_registered())
    return "\n".join(parts)


def _presets() -> str:
    lines = [
        "## Presets",
        "",
        "`preset: NAME` beside `concept` sets what belongs together, and all other keys stand over "
        "it: the files of `coti/settings/presets/`.",
        "Where a key names another model than the preset's, its revision, hash and the like are "
        "left out. Another `model.base_model` than the bundled one, with scorer, aesthetic head or "
        "judge left at the bundled ones, is refused before anything runs.",
        "",
        "| preset | |",
        "|---|---|",
        *(f"| `{name}` | {says(name)} |" for name in PRESETS),
    ]
    return "\n".join(lines) + "\n"


def _registered() -> str:
    lines = [
        "## What is found by name",
        "",
        "More come [from outside](../CONTRIBUTING.md#five-how-tos) by `register`, or, a model "
        "family apart, as `module:Class` where the name goes.",
        "",
        "| key | names | |",
        "|---|---|---|",
    ]
    for key, registry in REGISTRIES.items():
        by_target: dict[str, list[str]] = {}
        for name, target in registry.targets.items():
            by_target.setdefault(target, []).append(f"`{name}`")
        for target, names in by_target.items():
            source = ROOT / f"{target.partition(':')[0].replace('.', '/')}.py"
            said = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
            lines.append(f"| {key} | {', '.join(names)} | {_prose(said.splitlines()[0])} |")
    return "\n".join(lines) + "\n"


def _section(node: ast.ClassDef) -> str:
    lines = [f"## {node.name}", "", _prose(ast.get_docstring(node) or ""), ""]
    lines += ["| key | type | default | |", "|---|---|---|---|"]
    most: dict[str, int] = {}
    for i, item in enumerate(node.body):
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if item.target.id == "MOST" and item.value is not None:
            most = ast.literal_eval(item.value)
        if item.target.id.startswith("_") or item.target.id == "MOST":
            continue
        after = node.body[i + 1] if i + 1 < len(node.body) else None
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = _prose(str(after.value.value))
        if item.target.id in most:
            text = f"{text} At most {most[item.target.id]:,}.".strip()
        default = "**required**" if item.value is None else f"`{ast.unparse(item.value)}`"
        kind = ast.unparse(item.annotation).replace("|", "\\|")
        lines.append(f"| `{item.target.id}` | `{kind}` | {default} | {text} |")
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def write(path: Path = PAGE) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write()
