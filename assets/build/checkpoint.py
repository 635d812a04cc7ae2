"""Files that are either whole or absent: write beside, then rename."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file


def save_tensors(
    tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file in one stroke: a killed process leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    whole = {name: value.detach().contiguous() for name, value in tensors.items()}
    save_file(whole, beside, metadata=metadata)
    beside.chmod(0o644)
    os.replace(beside, path)
