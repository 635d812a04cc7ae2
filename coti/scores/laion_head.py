"""LAION's aesthetic head, from the pickle it was published as to the safetensors read here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from coti.core.errors import ModelError
from coti.core.weights import read_pickled
from coti.core.whole_files import tensor_bytes, write_whole
from coti.scores.aesthetic import AestheticHead

__all__ = ["LAION_SHA256", "convert_laion_head"]

LAION_SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"
"""Of ``sac+logos+ava1-l14-linearMSE.pth``: 768→1024→128→64→16→1 without activations, on
normalised features of CLIP ViT-L/14 (``openai``)."""


def convert_laion_head(source: Path, target: Path, sha256: str | None = LAION_SHA256) -> Path:
    """Write the published ``.pth`` as the safetensors file that ``aesthetic.head`` then names.

    Its hash is checked before it is read, weights only; none trusts the file. Layers stay as they
    are; whole or not at all.

    Raises:
        ModelError: another hash, a damaged file, or no such head.
    """
    found = read_pickled(source, sha256)
    if not isinstance(found, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in found.values()
    ):
        raise ModelError(f"{source} is no aesthetic head: it should map names to tensors.")
    tensors = {str(name): value.float() for name, value in found.items()}
    AestheticHead.from_tensors(tensors)  # raises where it is another model's
    header = {
        "format": "pt",
        "source": source.name,
        "features": "ViT-L-14-quickgelu openai, normalised",
    }
    write_whole(target, tensor_bytes(tensors, header))
    return target
