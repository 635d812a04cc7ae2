"""The one file of an embedding: what diffusers and the web UIs load, and what they write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from coti.core.errors import EmbeddingError
from coti.core.tokens import token_of
from coti.core.weights import is_safetensors
from coti.inversion.families.protocol import embedding_keys
from coti.inversion.families.registry import families

__all__ = [
    "FileContent",
    "embedding_file_name",
    "faults_of_vectors",
    "parts_of_tensors",
    "read_embedding_file",
    "renamed",
    "require_file_name",
]

_LARGEST = 10_000.0
"""Of a vector's numbers; CLIP's words have 0.1, trained ones have been seen with 30, and with
float16's 65,504 an image is black."""
_MOST_KEYS = 64
"""More tensors than any embedding file has."""
_NO_TOKEN = ("*", "clip_l", "clip_g", "clip_h")
"""Single keys of web UIs that stand for whatever the file is called."""


class FileContent(NamedTuple):
    """What an embedding's file says."""

    parts: tuple[torch.Tensor, ...]
    """float32 [num_vectors, width], one a text encoder."""
    keys: tuple[str, ...]
    """Of the parts; () where the one key is the token."""
    token: str
    """In the form that tokenizers keep; ``token_in_file`` of the metadata is another one."""
    metadata: dict[str, str]


def embedding_file_name(token: str) -> str:
    """A name for an embedding's file that every tool takes: no spaces, no angle brackets.

    >>> embedding_file_name("<ankle boot>")
    'ankle-boot.safetensors'
    """
    return (re.sub(r"[^\w.-]+", "-", token).strip("-.") or "learned_embeds") + ".safetensors"


def require_file_name(path: Path, token: str) -> None:
    """Every tool takes a file of this name: asked before a training that ends in it, too.

    Raises:
        EmbeddingError: it has spaces or angle brackets, which some stumble over; names another.
    """
    if re.search(r"[\s<>]", path.name):
        raise EmbeddingError(
            f"An embedding file cannot be named {path.name!r}: no spaces, no angle brackets "
            f"({embedding_file_name(token)} would do)."
        )


def read_embedding_file(path: Path) -> FileContent:
    """Read an embedding file of ours, of diffusers, or of a web UI (``emb_params``).

    Args:
        path: a safetensors file, or a folder that holds ``learned_embeds.safetensors``; for several
            text encoders beside ``learned_embeds_2.safetensors`` and so on, as diffusers' own
            example writes them.

    Raises:
        EmbeddingError: no such file, another format, or tensors that are no embedding's or that no
            model can use.
    """
    if path.is_dir():
        first = _read(path / "learned_embeds.safetensors")
        beside = sorted(path.glob("learned_embeds_[0-9].safetensors"))
        if not beside:
            return first
        parts = (*first.parts, *(part for file in beside for part in _read(file).parts))
        for family in families():
            if len(family.text_encoders) == len(parts):
                return first._replace(parts=parts, keys=embedding_keys(family))
        raise EmbeddingError(
            f"{path} holds an embedding for {len(parts)} text encoders, as many as no known base "
            "model has."
        )
    return _read(path)


def _read(path: Path) -> FileContent:
    if not path.is_file():
        raise EmbeddingError(f"There is no embedding file {path}; check the path.")
    if path.suffix.lower() in (".png", ".webp", ".jpg", ".jpeg"):
        raise EmbeddingError(
            f"{path} is an image: AUTOMATIC1111 hides embeddings in some, which are not read "
            "here. Have it write the embedding as a .pt or .safetensors file."
        )
    if path.suffix != ".safetensors" and not is_safetensors(path):
        raise EmbeddingError(
            f"{path} is no safetensors file; .pt and .bin embeddings can run code when they are "
            f"loaded: `coti weights embedding {path.name} {path.stem}.safetensors` converts them, "
            "reading the tensors only."
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            if len(names := list(file.keys())) > _MOST_KEYS:
                raise EmbeddingError(
                    f"{path} holds {len(names)} tensors, such as {names[0]}: a model or a LoRA, "
                    "not an embedding."
                )
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise EmbeddingError(f"{path} is damaged or no safetensors file: {error}.") from error
    parts, keys, token = parts_of_tensors(tensors, path)
    metadata = {name: value for name, value in metadata.items() if name != "format"}
    token = metadata.get("placeholder_token") or token or path.stem
    return FileContent(parts, keys, token_of(token), metadata | renamed(token))


def renamed(token: str) -> dict[str, str]:
    """For an embedding's metadata: the token that its file gave, where ours is another."""
    return {} if token_of(token) == token else {"token_in_file": token}


def faults_of_vectors(key: str, vectors: torch.Tensor) -> list[str]:
    """What makes vectors unusable in any model, in words; nothing if they will do.

    Floating point [num_vectors, width], finite, none all zeros (which nobody trained), no number
    beyond what half precision can add up.
    """
    if vectors.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return [f"{key} is {vectors.dtype}, floating point of 16 bits or more is allowed"]
    if vectors.ndim != 2 or 0 in vectors.shape:
        return [f"{key} has shape {list(vectors.shape)}, [num_vectors, width] is allowed"]
    if not bool(vectors.isfinite().all()):
        return [f"{key} has numbers that are not finite"]
    largest = vectors.abs().amax(dim=1)
    if float(largest.max()) > _LARGEST:
        return [f"{key} has numbers as large as {float(largest.max()):.3g}, no word's are"]
    if float(largest.min()) == 0:
        return [f"{key} has a vector of zeros"]
    return []


def parts_of_tensors(
    tensors: Mapping[str, torch.Tensor], path: Path
) -> tuple[tuple[torch.Tensor, ...], tuple[str, ...], str | None]:
    """The parts in a file, float32 [num_vectors, width] each, their keys, and the token if it
    names one.

    Besides our own: AUTOMATIC1111's ``emb_params`` and ``string_to_param.*`` (its dictionary,
    flattened), ComfyUI's ``clip_l``, ``clip_g`` or ``clip_h`` alone, diffusers' token.

    Raises:
        EmbeddingError: it holds something else, or vectors that no model can use.
    """
    tensors = {key.removeprefix("string_to_param."): value for key, value in tensors.items()}
    tensors = {
        key: value.reshape(1, -1) if value.ndim == 1 else value for key, value in tensors.items()
    }
    chosen, keys, token = _chosen(tensors, path)
    faults = [fault for key in chosen for fault in faults_of_vectors(key, tensors[key])]
    if faults:
        raise EmbeddingError(
            f"{path} holds no usable embedding ({faults[0]}): train or fetch it again."
        )
    return tuple(tensors[key].float() for key in chosen), keys, token


def _chosen(
    tensors: Mapping[str, torch.Tensor], path: Path
) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """Which tensors are the parts, their keys in our files, and the token if there is one."""
    # The most keys first: another family's may be some of them.
    for keys in sorted(map(embedding_keys, families()), key=len, reverse=True):
        if keys and all(key in tensors for key in keys):
            return keys, keys, None
    if "emb_params" in tensors:
        return ("emb_params",), (), None
    if len(tensors) == 1:
        (key,) = tensors
        return (key,), (), None if key in _NO_TOKEN else key
    raise EmbeddingError(
        f"{path} holds {sorted(tensors)[:4]}, not one embedding: expected one key with "
        "[num_vectors, width], emb_params, or a key for each text encoder, such as clip_l and "
        "clip_g."
    )
