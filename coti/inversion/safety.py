"""Is a file one embedding and nothing else? Asked before anything is promoted or exported."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from coti.core.tokens import fault_of_token
from coti.inversion.adapters.embedding_file import faults_of_vectors
from coti.inversion.base_model import TextToImageModel
from coti.inversion.families.protocol import embedding_keys
from coti.inversion.families.registry import families

__all__ = ["Vocabulary", "inspect_embedding", "vocabulary_of"]

_TOLERANCE = 0.05
"""Share by which a norm may lie outside the vocabulary's range."""


@dataclass(frozen=True)
class Vocabulary:
    """The words that a base model has already: what an embedding is measured against."""

    widths: tuple[int, ...]
    """Numbers in a vector, a text encoder each."""
    least: tuple[float, ...]
    """L2 norm of the shortest word, a text encoder each."""
    most: tuple[float, ...]
    """L2 norm of the longest word, a text encoder each."""

    def to_json(self) -> str:
        """As a registry's tag holds it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_values(cls, values: Any) -> Vocabulary:
        """The same again, of what :meth:`to_json` wrote once it is read.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        widths = tuple(map(int, values["widths"]))
        least, most = tuple(map(float, values["least"])), tuple(map(float, values["most"]))
        if not len(widths) == len(least) == len(most):
            raise ValueError("not as many widths as norms")
        return cls(widths, least, most)


def vocabulary_of(model: TextToImageModel) -> Vocabulary:
    """Widths and norms of a base model's vocabulary."""
    tables: list[torch.Tensor] = [
        encoder.get_input_embeddings().weight.detach().float() for encoder in model.text_encoders
    ]
    norms = [table.norm(dim=1) for table in tables]
    return Vocabulary(
        tuple(int(table.shape[1]) for table in tables),
        tuple(float(each.min()) for each in norms),
        tuple(float(each.max()) for each in norms),
    )


def inspect_embedding(path: Path | str, vocabulary: Vocabulary | None = None) -> list[str]:
    """What is wrong with an embedding file, a sentence each; nothing if it may be promoted.

    One key, a token that tokenizers keep whole, or those of a family with several text encoders;
    float32 ``[num_vectors, width]``, finite, and each vector's L2 norm within the vocabulary's
    range, give or take 5 %. Without a vocabulary, width and norms are not looked at.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            keys = [each for each in map(embedding_keys, families()) if set(each) == set(names)]
            if len(names) != 1 and not keys:
                return [f"the file has {len(names)} keys, one is allowed: the token"]
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        return [f"the file is damaged or no safetensors file ({error})"]
    if not keys and (fault := fault_of_token(next(iter(tensors)))):
        return [f"the token {fault}"]
    parts = {key: tensors[key] for key in (keys[0] if keys else tensors)}
    faults = []
    for key, part in parts.items():
        if part.dtype != torch.float32:
            faults.append(f"{key} is {part.dtype}, float32 is allowed")
        else:
            faults += faults_of_vectors(key, part)
    if not faults and len({len(part) for part in parts.values()}) > 1:
        return ["its text encoders have different numbers of vectors"]
    if faults or vocabulary is None:
        return faults
    if len(parts) != len(vocabulary.widths):
        return [f"the file is for {len(parts)} text encoders, the model has another number"]
    ranges = zip(vocabulary.widths, vocabulary.least, vocabulary.most, strict=True)
    for (key, part), (width, least, most) in zip(parts.items(), ranges, strict=True):
        low, high = part.norm(dim=1).aminmax()
        if part.shape[1] != width:
            faults.append(f"{key} is {part.shape[1]} wide, the base model's words are {width}")
        elif low < least * (1 - _TOLERANCE) or high > most * (1 + _TOLERANCE):
            faults.append(
                f"{key} has vectors of norm {float(low):.3g} to {float(high):.3g}, the "
                f"vocabulary's are {least:.3g} to {most:.3g}"
            )
    return faults
