"""Embeddings that other tools stored as pickles, turned into safetensors once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import ParameterDict

from coti.core.errors import EmbeddingError
from coti.core.tokens import token_of
from coti.core.weights import read_pickled
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.adapters.embedding_file import parts_of_tensors, renamed

__all__ = ["convert_embedding"]


def convert_embedding(source: Path, target: Path, token: str | None = None) -> Embedding:
    """Read a ``.pt`` or ``.bin`` embedding, weights only, and save it as ours.

    Known are AUTOMATIC1111's and the original code's ``string_to_param``, diffusers' ``{token:
    vectors}``, ``emb_params``, and a key for each of several text encoders. ``token`` is by default
    the file's own, or its name in angle brackets.

    Raises:
        ModelError: the file is damaged or holds more than tensors.
        EmbeddingError: what it holds is no embedding, or the target's name is unusable.
    """
    found: Any = read_pickled(source)
    if not isinstance(found, Mapping):
        raise EmbeddingError(f"{source} holds a {type(found).__name__}, not an embedding.")
    name = found.get("name")
    if "string_to_param" in found:
        found = found["string_to_param"]
        if not isinstance(found, Mapping | ParameterDict):
            raise EmbeddingError(f"{source} holds a {type(found).__name__}, not an embedding.")
    tensors = {
        str(key): value.detach() for key, value in found.items() if isinstance(value, torch.Tensor)
    }
    parts, keys, key = parts_of_tensors(tensors, source)
    # The web UI's own name for a token is the file's; "*" stands for whatever the prompt calls it.
    label = token or key or f"<{name if isinstance(name, str) and name else source.stem}>"
    metadata = {"converted_from": source.name} | ({} if token else renamed(label))
    converted = Embedding(token or token_of(label), parts, metadata, keys)
    converted.save(target)
    return converted
