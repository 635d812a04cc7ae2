"""Safetensors files that are whole or absent, and the same bytes for the same content.

A sealed one holds a hash of all its bytes: a bit that was flipped anywhere in it is seen.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

__all__ = ["sealed_bytes", "tensor_bytes", "tensor_hash", "unsealed", "write_whole"]

_SEAL = "sha256"
_BLANK = "0" * 64


def tensor_bytes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file's bytes with its metadata in sorted order.

    The library writes metadata in an order that changes from call to call.
    """
    return b"".join(_header_and_body(tensors, metadata))


def sealed_bytes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """The same with a hash of all bytes in the metadata; :func:`unsealed` reads it."""
    header, body = _header_and_body(tensors, {**metadata, _SEAL: _BLANK})
    sealed = header.replace(_field(_BLANK), _field(_hash(header, body)), 1)
    return b"".join((sealed, body))


def unsealed(content: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of :func:`sealed_bytes`.

    Raises:
        ValueError: these are not the bytes that were sealed.
    """
    try:
        size = 8 + int.from_bytes(content[:8], "little")
        header, body = content[:size], memoryview(content)[size:]
        metadata: dict[str, str] = dict(json.loads(header[8:])["__metadata__"])
        seal = metadata.pop(_SEAL)
        blank = header.replace(_field(seal), _field(_BLANK), 1)
        if _hash(blank, body) == seal:
            return load(content), metadata
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    raise ValueError("it is not what was written: its hash differs")


def _header_and_body(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> tuple[bytes, memoryview]:
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(whole)
    size = int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8 : 8 + size])}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, memoryview(content)[8 + size :]


def _field(seal: str) -> bytes:
    """How the seal stands in a header; within another value its quotes would be escaped."""
    return f'"{_SEAL}":"{seal}"'.encode()


def _hash(header: bytes, body: memoryview) -> str:
    digest = hashlib.sha256(header)
    digest.update(body)
    return digest.hexdigest()


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
