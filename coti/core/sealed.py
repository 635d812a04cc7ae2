"""Safetensors bytes with a hash of all of them inside: a bit that was flipped anywhere is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from coti.core.whole_files import tensor_bytes

__all__ = ["sealed_bytes", "unsealed"]

_SEAL = "sha256"
_BLANK = "0" * 64


def sealed_bytes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file's bytes, the hash among its metadata; :func:`unsealed` reads them.

    >>> unsealed(sealed_bytes({"a": torch.zeros(1)}, {"step": "7"}))
    ({'a': tensor([0.])}, {'step': '7'})
    """
    header, body = _parts(tensor_bytes(tensors, {**metadata, _SEAL: _BLANK}))
    sealed = header.replace(_field(_BLANK), _field(_hash(header, body)), 1)
    return b"".join((sealed, body))


def unsealed(content: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of :func:`sealed_bytes`.

    Raises:
        ValueError: these are not the bytes that were sealed.
    """
    try:
        header, body = _parts(content)
        metadata: dict[str, str] = dict(json.loads(header[8:])["__metadata__"])
        seal = metadata.pop(_SEAL, "")
        if _hash(header.replace(_field(seal), _field(_BLANK), 1), body) == seal:
            return load(content), metadata
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    raise ValueError("it is not what was written (its hash differs)")


def _parts(content: bytes) -> tuple[bytes, memoryview]:
    """Length and header, and the tensors' bytes."""
    size = 8 + int.from_bytes(content[:8], "little")
    return content[:size], memoryview(content)[size:]


def _field(seal: str) -> bytes:
    """How the seal stands in a header; within another value its quotes would be escaped."""
    return f'"{_SEAL}":"{seal}"'.encode()


def _hash(header: bytes, body: memoryview) -> str:
    digest = hashlib.sha256(header)
    digest.update(body)
    return digest.hexdigest()
