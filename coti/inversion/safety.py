"""Is a file one embedding and nothing else? Asked before anything is promoted or exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from coti.inversion.base_model import TextToImageModel
from coti.inversion.families.protocol import embedding_keys
from coti.inversion.families.registry import families

__all__ = ["Vocabulary", "inspect_embedding", "vocabulary_of"]


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
    def from_json(cls, text: str) -> Vocabulary:
        """The same again."""
        values = json.loads(text)
        return cls(tuple(values["widths"]), tuple(values["least"]), tuple(values["most"]))


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


def inspect_embedding(
    path: Path | str, vocabulary: Vocabulary | None = None, tolerance: float = 0.05
) -> list[str]:
    """What is wrong with an embedding file, a sentence each; nothing if it may be promoted.

    One key, or those of a family with several text encoders; float32 ``[num_vectors, width]``,
    finite, and each vector's L2 norm within the vocabulary's range.

    Args:
        path: the safetensors file.
        vocabulary: of the base model; without it width and norms are not looked at.
        tolerance: share by which a norm may lie outside the range.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        return [f"the file is damaged or no safetensors file ({error})"]
    keys = tuple(tensors)
    known = [each for each in map(embedding_keys, families()) if set(each) == set(keys)]
    if len(keys) != 1 and not known:
        return [f"the file has {len(keys)} keys, one is allowed: the token"]
    order = known[0] if known else keys
    faults = [
        fault for key in order for fault in _faults_of_tensor(key, tensors[key])
    ] or _faults_of_lengths(order, tensors)
    if faults or vocabulary is None:
        return faults
    if len(order) != len(vocabulary.widths):
        return [f"the file is for {len(order)} text encoders, the model has another number"]
    return [
        fault
        for index, key in enumerate(order)
        for fault in _faults_of_norms(key, tensors[key], vocabulary, index, tolerance)
    ]


def _faults_of_tensor(key: str, tensor: torch.Tensor) -> list[str]:
    if tensor.dtype != torch.float32:
        return [f"{key} is {tensor.dtype}, float32 is allowed"]
    if tensor.ndim != 2 or 0 in tensor.shape:
        return [f"{key} has shape {list(tensor.shape)}, [num_vectors, width] is allowed"]
    if not bool(tensor.isfinite().all()):
        return [f"{key} has numbers that are not finite"]
    return []


def _faults_of_lengths(order: tuple[str, ...], tensors: Mapping[str, torch.Tensor]) -> list[str]:
    if len({len(tensors[key]) for key in order}) > 1:
        return ["its text encoders have different numbers of vectors"]
    return []


def _faults_of_norms(
    key: str, tensor: torch.Tensor, vocabulary: Vocabulary, index: int, tolerance: float
) -> list[str]:
    width = vocabulary.widths[index]
    if tensor.shape[1] != width:
        return [f"{key} is {tensor.shape[1]} wide, the base model's words are {width}"]
    norms = tensor.norm(dim=1)
    least = vocabulary.least[index] * (1 - tolerance)
    most = vocabulary.most[index] * (1 + tolerance)
    if float(norms.min()) < least or float(norms.max()) > most:
        return [
            f"{key} has vectors of norm {float(norms.min()):.3g} to {float(norms.max()):.3g}, the "
            f"vocabulary's are {vocabulary.least[index]:.3g} to {vocabulary.most[index]:.3g}"
        ]
    return []
