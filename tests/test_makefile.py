from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_advertised_target_has_a_rule() -> None:
    """In ``.PHONY``, in pages, and in what the builders and the library say."""
    rules = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) <= rules
    for pattern in ("*.md", "docs/**/*.md", "assets/*.md", "assets/build/*.py", "coti/**/*.py"):
        for path in ROOT.glob(pattern):
            for target in re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8")):
                assert target in rules, f"{path}: make {target}"
