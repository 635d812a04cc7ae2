"""The learned word: its vectors, and the one file that diffusers and the web UIs load."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from coti.core.errors import EmbeddingError
from coti.core.whole_files import tensor_bytes, write_whole

__all__ = [
    "Embedding",
    "describe_embedding",
    "describe_width",
    "embedding_file_name",
    "load_embedding",
    "save_embedding",
    "word_of",
]

_MOST_KEYS = 64
"""More tensors than any embedding file has."""
_SDXL_KEYS = ("clip_l", "clip_g")
"""Keys of the two vectors of an SDXL word, in the order of the text encoders."""


@dataclass(frozen=True)
class Embedding:
    """A new word for a text encoder's vocabulary."""

    token: str
    """The placeholder, such as ``<ankle-boot>``."""
    vectors: torch.Tensor
    """float32 [num_vectors, width], in the order they stand in a prompt."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Base model, its fingerprint, concept, step: goes into the file's header."""
    second: torch.Tensor | None = None
    """float32 [num_vectors, width of the second text encoder], for SDXL."""

    def __post_init__(self) -> None:
        for part in self.parts:
            if part.ndim != 2 or part.dtype != torch.float32 or len(part) != self.num_vectors:
                raise EmbeddingError(
                    f"The vectors of {self.token} are {part.dtype} {list(part.shape)}: they must "
                    "be float32 [num_vectors, width], as many for each text encoder."
                )

    @property
    def num_vectors(self) -> int:
        """Places the word takes in a prompt."""
        return len(self.vectors)

    @property
    def parts(self) -> tuple[torch.Tensor, ...]:
        """The vectors by text encoder: one tensor, or two for SDXL."""
        return (self.vectors,) if self.second is None else (self.vectors, self.second)

    def with_parts(self, parts: tuple[torch.Tensor, ...], **metadata: str) -> Embedding:
        """The same word with other vectors (copied to the CPU) and more metadata."""
        copies = [part.detach().to("cpu", torch.float32, copy=True).contiguous() for part in parts]
        return replace(
            self,
            vectors=copies[0],
            second=copies[1] if len(copies) > 1 else None,
            metadata={**self.metadata, **metadata},
        )


def embedding_file_name(token: str) -> str:
    """A name for the word's file that every tool takes: no spaces, no angle brackets."""
    return (re.sub(r"[^\w.-]+", "-", token).strip("-.") or "learned_embeds") + ".safetensors"


def save_embedding(embedding: Embedding, path: Path | str, key: str | None = None) -> Path:
    """Write the file that ``pipe.load_textual_inversion(path)`` loads; whole or not at all.

    One key, the token, [num_vectors, width] float32; an SDXL word has two, ``clip_l`` and
    ``clip_g``. Metadata goes into the safetensors header.

    Args:
        embedding: the word.
        path: of the file.
        key: another one than the token, for one text encoder. ``emb_params`` is AUTOMATIC1111's,
            and all web UIs take it: InvokeAI's import reads the width from that key's second
            dimension, and from any other's first, so that it refuses several vectors there.

    Raises:
        EmbeddingError: the name has spaces or angle brackets, which some tools stumble over, or
            the vectors are not finite.
    """
    path = Path(path)
    if re.search(r"[\s<>]", path.name):
        raise EmbeddingError(
            f"An embedding file cannot be named {path.name!r}: no spaces, no angle brackets "
            f"({embedding_file_name(embedding.token)} would do)."
        )
    if not all(bool(part.isfinite().all()) for part in embedding.parts):
        raise EmbeddingError(f"The vectors of {embedding.token} are not finite; nothing is saved.")
    keys = (key or embedding.token,) if embedding.second is None else _SDXL_KEYS
    tensors = dict(zip(keys, embedding.parts, strict=True))
    header = {
        "format": "pt",
        **embedding.metadata,
        "placeholder_token": embedding.token,
        "num_vectors": str(embedding.num_vectors),
    }
    write_whole(path, tensor_bytes(tensors, header))
    return path


def load_embedding(path: Path | str, token: str | None = None) -> Embedding:
    """Read an embedding file of ours, of diffusers, or of a web UI (``emb_params``).

    Args:
        path: a safetensors file, or a folder that holds ``learned_embeds.safetensors``; for SDXL
            beside ``learned_embeds_2.safetensors``, as diffusers' own example writes them.
        token: placeholder to use instead of the file's.

    Raises:
        EmbeddingError: no such file, another format, or tensors that are no word's vectors.
    """
    path = Path(path)
    if path.is_dir():
        folder, path = path, path / "learned_embeds.safetensors"
        if (beside := folder / "learned_embeds_2.safetensors").is_file():
            first, second = load_embedding(path, token), load_embedding(beside, token)
            return replace(first, second=second.vectors)
    if not path.is_file():
        raise EmbeddingError(f"There is no embedding file {path}; check the path.")
    if path.suffix.lower() in (".png", ".webp", ".jpg", ".jpeg"):
        raise EmbeddingError(
            f"{path} is an image: AUTOMATIC1111 hides embeddings in some, which are not read "
            "here. Have it write the embedding as a .pt or .safetensors file."
        )
    if path.suffix != ".safetensors":
        raise EmbeddingError(
            f"{path} is no safetensors file; .pt and .bin embeddings can run code when they are "
            f"loaded: `coti weights embedding {path.name} {path.stem}.safetensors` converts them, "
            "reading the tensors only."
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            if len(keys := list(file.keys())) > _MOST_KEYS:
                raise EmbeddingError(
                    f"{path} holds {len(keys)} tensors, such as {keys[0]}: a model or a LoRA, not "
                    "an embedding."
                )
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise EmbeddingError(f"{path} is damaged or no safetensors file: {error}.") from error
    parts, key = word_of(tensors, path)
    name = token or metadata.get("placeholder_token") or key or path.stem
    vectors = [part if part.ndim == 2 else part.reshape(1, -1) for part in parts]
    metadata = {name: value for name, value in metadata.items() if name != "format"}
    return Embedding(name, vectors[0], metadata, vectors[1] if len(vectors) > 1 else None)


def word_of(
    tensors: Mapping[str, torch.Tensor], path: Path
) -> tuple[tuple[torch.Tensor, ...], str | None]:
    """The vectors in a file and, where it names one, the token.

    Besides our own: AUTOMATIC1111's ``emb_params`` and ``string_to_param.*`` (its dictionary,
    flattened), ComfyUI's ``clip_l``, ``clip_g`` or ``clip_h`` alone, diffusers' token.

    Raises:
        EmbeddingError: it holds something else.
    """
    tensors = {key.removeprefix("string_to_param."): value for key, value in tensors.items()}
    if all(key in tensors for key in _SDXL_KEYS):
        return tuple(tensors[key] for key in _SDXL_KEYS), None
    if "emb_params" in tensors:
        return (tensors["emb_params"],), None
    if len(tensors) == 1:
        key, vectors = next(iter(tensors.items()))
        if 1 <= vectors.ndim <= 2:
            return (vectors,), None if key in ("*", "clip_l", "clip_g", "clip_h") else key
    raise EmbeddingError(
        f"{path} holds {sorted(tensors)[:4]}, not one word: expected one key with [num_vectors, "
        "width], emb_params, or clip_l and clip_g."
    )


def describe_embedding(embedding: Embedding) -> str:
    """Which base model an embedding is for, from the widths of its vectors."""
    widths = tuple(part.shape[1] for part in embedding.parts)
    if widths == (768, 1280):
        return "for SDXL"
    return "for " + " and ".join(describe_width(width) for width in widths)


def describe_width(width: int) -> str:
    """Which base models' words have this many numbers in a vector."""
    known = {
        768: "Stable Diffusion 1.x",
        1024: "Stable Diffusion 2.x",
        1280: "the second text encoder of SDXL",
        128: "the bundled model",
    }
    return known.get(width, "another base model")
