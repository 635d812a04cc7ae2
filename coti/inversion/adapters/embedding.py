"""Textual inversion's adapter: vectors of a new token, as the text encoders look them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from coti.core.errors import EmbeddingError, ModelError
from coti.core.seeding import generator
from coti.core.tokens import fault_of_token
from coti.core.whole_files import tensor_bytes, write_whole
from coti.inversion.adapters.embedding_file import (
    faults_of_vectors,
    read_embedding_file,
    require_file_name,
)
from coti.inversion.adapters.norms import NormControl
from coti.inversion.base_model import TextToImageModel
from coti.inversion.families.protocol import embedding_keys
from coti.inversion.families.registry import families, family_of_pipeline
from coti.inversion.prompt_encoder import refuse_known_token
from coti.settings import TokenSettings

__all__ = ["Embedding", "describe_embedding"]


@dataclass(frozen=True)
class Embedding:
    """A placeholder token's vectors; see :class:`coti.inversion.adapters.protocol.Adapter`.

    >>> embedding = Embedding("<ankle-boot>", (torch.zeros(4, 768),))
    >>> embedding.num_vectors, describe_embedding(embedding)
    (4, 'for Stable Diffusion 1.x')
    """

    token: str
    """The placeholder, such as ``<ankle-boot>``; see :mod:`coti.core.tokens`."""
    parts: tuple[torch.Tensor, ...]
    """float32 [num_vectors, width], one a text encoder, in the order they stand in a prompt."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Base model, its fingerprint, concept, step: goes into the file's header."""
    keys: tuple[str, ...] = ()
    """Of the parts in a file; () for one part: its key is the token."""

    def __post_init__(self) -> None:
        if fault := fault_of_token(self.token):
            raise EmbeddingError(f"The token {fault}.")
        for part in self.parts:
            if part.ndim != 2 or part.dtype != torch.float32 or len(part) != self.num_vectors:
                raise EmbeddingError(
                    f"The vectors of {self.token} are {part.dtype} {list(part.shape)}: they must "
                    "be float32 [num_vectors, width], as many for each text encoder."
                )
        if len(self.keys or (self.token,)) != len(self.parts):
            raise EmbeddingError(
                f"{self.token} has vectors for {len(self.parts)} text encoders and keys "
                f"{list(self.keys)}: each needs a key of its own."
            )

    @property
    def num_vectors(self) -> int:
        """Places the token takes in a prompt."""
        return len(self.parts[0])

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers in each part's vectors: those of the base models that it is made for."""
        return tuple(part.shape[1] for part in self.parts)

    @property
    def named_parts(self) -> dict[str, torch.Tensor]:
        """The parts by their keys in a file."""
        return dict(zip(self.keys or (self.token,), self.parts, strict=True))

    @property
    def tokens(self) -> Mapping[str, int]:
        """The placeholder and its number of vectors."""
        return {self.token: self.num_vectors}

    def token_vectors(self, parts: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The parts themselves."""
        return parts

    def applied(
        self, model: TextToImageModel, parts: Sequence[torch.Tensor]
    ) -> AbstractContextManager[None]:
        """Nothing beside the vectors of the token."""
        return nullcontext()

    def constraint(
        self, model: TextToImageModel, settings: TokenSettings
    ) -> Callable[[Sequence[torch.Tensor]], None]:
        """Vectors as long as the vocabulary's, as ``settings.norm_control`` says."""
        return NormControl(model, settings.norm_control).apply

    def with_parts(self, parts: Sequence[torch.Tensor], **metadata: str) -> Embedding:
        """The same token with other vectors (copied to the CPU) and more metadata."""
        copies = [part.detach().to("cpu", torch.float32, copy=True).contiguous() for part in parts]
        return replace(self, parts=tuple(copies), metadata={**self.metadata, **metadata})

    def check_fits(self, model: TextToImageModel, source: str | None = None) -> None:
        """Raise EmbeddingError where the widths are not the model's."""
        widths = self.widths
        if widths != model.widths:
            made_for = describe_embedding(self).removeprefix("for ")
            raise EmbeddingError(
                f"{source or self.token} has vectors of width {_list(widths)}, made for "
                f"{made_for}; {model.name} needs width {_list(model.widths)}."
            )

    @classmethod
    def initial(
        cls, model: TextToImageModel, settings: TokenSettings, seed: int = 0, concept: str = ""
    ) -> Embedding:
        """The embedding before training: every vector the initializer word's, or a file's vectors.

        Vectors of one token start alike up to a seeded thousandth of their length, so that they are
        free to part.

        Raises:
            EmbeddingError: the placeholder is in the vocabulary, the initializer is several tokens,
                or its file does not fit the model.
        """
        for tokenizer in model.tokenizers:
            refuse_known_token(tokenizer, settings.placeholder_token)
        metadata = {"base_model": model.name}
        if not model.in_memory:
            metadata["base_model_fingerprint"] = model.fingerprint
        metadata |= {f"base_model_{name}": value for name, value in model.origin.items()}
        if concept:
            metadata["concept"] = concept
        if settings.initializer.endswith(".safetensors") or Path(settings.initializer).is_file():
            found = cls.load(settings.initializer, settings.placeholder_token)
            found.check_fits(model, settings.initializer)
            if found.num_vectors != settings.num_vectors:
                raise EmbeddingError(
                    f"initializer {settings.initializer} has {found.num_vectors} vectors and "
                    f"num_vectors is {settings.num_vectors}; set num_vectors: {found.num_vectors}."
                )
            return replace(found, metadata=metadata, keys=model.embedding_keys)
        parts = []
        for tokenizer, encoder in zip(model.tokenizers, model.text_encoders, strict=True):
            token = _single_token(tokenizer, settings.initializer)
            row = encoder.get_input_embeddings().weight[token]
            start = row.detach().float().cpu().repeat(settings.num_vectors, 1)
            noise = torch.randn(start.shape, generator=generator(seed, "initializer"))
            parts.append(start + noise * (1e-3 * row.float().cpu().norm() / len(row) ** 0.5))
        return cls(settings.placeholder_token, tuple(parts), metadata, model.embedding_keys)

    @classmethod
    def load(cls, path: Path | str, token: str | None = None) -> Embedding:
        """Read a file of ours, of diffusers, or of a web UI.

        Args:
            path: as :func:`coti.inversion.adapters.embedding_file.read_embedding_file`.
            token: placeholder to use instead of the file's.

        Raises:
            EmbeddingError: no such file, another format, or tensors that are no embedding's.
        """
        found = read_embedding_file(Path(path))
        return cls(token or found.token, found.parts, found.metadata, found.keys)

    def save(self, path: Path | str, key: str | None = None) -> Path:
        """Write the file that ``pipe.load_textual_inversion(path)`` loads; whole or not at all.

        One key, the token, [num_vectors, width] float32; for several text encoders a key each, such
        as ``clip_l`` and ``clip_g``. Metadata goes into the safetensors header.

        Args:
            path: of the file.
            key: another one than the token, for one text encoder. ``emb_params`` is
                AUTOMATIC1111's, and all web UIs take it: InvokeAI's import reads the width from
                that key's second dimension, and from any other's first, so that it refuses ours.

        Raises:
            EmbeddingError: the name has spaces or angle brackets, which some tools stumble over, or
                the vectors are such as no reader takes.
        """
        path = Path(path)
        require_file_name(path, self.token)
        faults = [f for key, part in self.named_parts.items() for f in faults_of_vectors(key, part)]
        if faults:
            raise EmbeddingError(f"{faults[0]}; nothing is saved.")
        tensors = {key: self.parts[0]} if key and not self.keys else self.named_parts
        header = {
            "format": "pt",
            **self.metadata,
            "placeholder_token": self.token,
            "num_vectors": str(self.num_vectors),
        }
        write_whole(path, tensor_bytes(tensors, header))
        return path

    def load_into(self, pipe: Any) -> None:
        """Give a diffusers pipeline the token, by its own ``load_textual_inversion``.

        Raises:
            EmbeddingError: it is no pipeline of a family here, has other text encoders, or knows
                the token already.
        """
        try:
            family = family_of_pipeline(pipe)
        except ModelError as error:
            raise EmbeddingError(str(error)) from error
        if embedding_keys(family) != self.keys:
            raise EmbeddingError(
                f"{self.token} is {describe_embedding(self)}, and pipe is a {type(pipe).__name__}."
            )
        for part, vectors in zip(family.text_encoders, self.parts, strict=True):
            tokenizer, encoder = getattr(pipe, part.tokenizer), getattr(pipe, part.folder)
            refuse_known_token(tokenizer, self.token)
            width = encoder.get_input_embeddings().weight.shape[1]
            if vectors.shape[1] != width:
                raise EmbeddingError(
                    f"{self.token} is {describe_embedding(self)}; pipe.{part.folder} needs vectors "
                    f"of width {width}."
                )
        for part, vectors in zip(family.text_encoders, self.parts, strict=True):
            pipe.load_textual_inversion(
                {self.token: vectors},
                token=self.token,
                text_encoder=getattr(pipe, part.folder),
                tokenizer=getattr(pipe, part.tokenizer),
            )


def describe_embedding(embedding: Embedding) -> str:
    """Which base model an embedding is for, from the widths of its parts."""
    known: dict[tuple[int, ...], str] = {}
    for family in families():
        known |= family.made_for
    widths = embedding.widths
    if widths in known:
        return f"for {known[widths]}"
    return "for " + " and ".join(known.get((width,), "another base model") for width in widths)


def _list(widths: Sequence[int]) -> str:
    return " and ".join(str(width) for width in widths)


def _single_token(tokenizer: Any, word: str) -> int:
    ids = tokenizer.encode(word, add_special_tokens=False)
    if len(ids) != 1:
        pieces = [piece.replace("</w>", "") for piece in tokenizer.convert_ids_to_tokens(ids)]
        split = f"splits into {len(ids)} tokens ({', '.join(pieces)})" if ids else "is no token"
        raise EmbeddingError(
            f"initializer {word!r} {split}; give a word that is a single token for this model, "
            "or the path of an embedding file (.safetensors)."
        )
    return int(ids[0])
