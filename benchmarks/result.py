"""What a benchmark says: a table for people, then one JSON object, the last line, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

__all__ = ["machine", "say", "table"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def machine(dtype: torch.dtype | None = None) -> dict[str, Any]:
    """What the numbers were measured on."""
    on_gpu = torch.cuda.is_available()
    found = {"device": torch.cuda.get_device_name() if on_gpu else "cpu"}
    precision = {} if dtype is None else {"dtype": str(dtype)}
    return {
        **found,
        **precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gpu": "measured" if on_gpu else "not measured",
    }


def say(text: str, result: Mapping[str, Any]) -> None:
    """Print both."""
    print(text)
    print(json.dumps(result))
