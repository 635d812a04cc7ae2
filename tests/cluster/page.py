"""The commands of a page, as they stand there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

__all__ = ["commands"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def commands(title: str, step: int | None = None) -> list[str]:
    """The shell blocks below a heading of docs/operations.md, of one numbered step or of all."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    if step is not None:
        section = re.split(r"^(?=\d+\.  )", section, flags=re.MULTILINE)[step]
        assert section.startswith(f"{step}.  ")
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```$", section, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in blocks]
