"""Safetensors files that are whole or absent, and the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save

__all__ = ["tensor_bytes", "tensor_hash", "write_whole"]


def tensor_bytes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file's bytes with its metadata in sorted order.

    The library writes metadata in an order that changes from call to call.
    """
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(whole)
    size = int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8 : 8 + size])}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def tensor_hash(*tensors: torch.Tensor) -> str:
    """Twelve hexadecimal digits that change with any byte, shape or dtype of the tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        whole = tensor.detach().cpu().contiguous()
        digest.update(f"{whole.dtype}{list(whole.shape)}".encode())
        digest.update(whole.view(torch.uint8).numpy().tobytes() if whole.numel() else b"")
    return digest.hexdigest()[:12]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a killed process leaves the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
