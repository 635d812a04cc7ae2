"""New words in a prompt: their ids, and their vectors where the frozen vocabulary has none.

The vocabulary is not copied, resized or trained. While a prompt is encoded, the text encoder's
token lookup is replaced by one that takes ids beyond the vocabulary from the small tensor of
learned vectors; what comes out is what ``pipe.load_textual_inversion`` would give, exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from coti.core.errors import EmbeddingError
from coti.core.seeding import generator
from coti.inversion.adapters.embedding import Embedding, describe_embedding, load_embedding
from coti.inversion.base_model import TextToImageModel, quiet_libraries
from coti.settings import TokenSettings

__all__ = ["Conditioning", "PromptEncoder", "check_fits", "initial_embedding"]


class Conditioning(NamedTuple):
    """What the UNet is told about the prompts."""

    hidden: torch.Tensor
    """[n, length, width of the cross attention]."""
    pooled: torch.Tensor | None
    """[n, width], SDXL only."""

    def rows(self, index: torch.Tensor) -> Conditioning:
        """The prompts at ``index`` [m], one row each."""
        pooled = None if self.pooled is None else self.pooled[index]
        return Conditioning(self.hidden[index], pooled)


class PromptEncoder:
    """Encodes prompts that may hold new words.

    Args:
        model: whose tokenizers and text encoders are used; neither is changed.
        words: placeholder token to number of vectors, in the order in which their vectors will be
            given.

    Raises:
        EmbeddingError: a token is in the vocabulary already or inside another one.
    """

    def __init__(self, model: TextToImageModel, words: Mapping[str, int]) -> None:
        self._model = model
        self._words = dict(words)
        for token in words:
            inside = [other for other in words if other != token and token in other]
            if inside:
                raise EmbeddingError(
                    f"The tokens {token!r} and {inside[0]!r} cannot stand in one prompt, one is "
                    "part of the other; rename one (token=…)."
                )
        self._tokenizers = []
        for tokenizer in model.tokenizers:
            extended = copy.deepcopy(tokenizer)
            for token, count in words.items():
                refuse_known_token(tokenizer, token)
                with quiet_libraries():
                    added = extended.add_tokens(_names(token, count))
                if added != count:
                    raise EmbeddingError(
                        f"Some of {_names(token, count)} are in the vocabulary of {model.name} "
                        "already; choose another placeholder_token."
                    )
            self._tokenizers.append(extended)

    def tokenize(self, prompts: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Ids [n, length] on the CPU, one tensor a text encoder, padded as the model pads.

        Raises:
            EmbeddingError: a prompt is so long that a new word would be cut off.
        """
        return tuple(
            self._ids(tokenizer, encoder, prompts)
            for tokenizer, encoder in zip(self._tokenizers, self._model.text_encoders, strict=True)
        )

    def _ids(self, tokenizer: Any, encoder: Any, prompts: Sequence[str]) -> torch.Tensor:
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        expanded = [self._expand(prompt) for prompt in prompts]
        ids: torch.Tensor = tokenizer(
            expanded, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        first = len(tokenizer) - sum(self._words.values())
        for token, count in self._words.items():
            last = tokenizer.convert_tokens_to_ids(_names(token, count)[-1])
            for prompt, row in zip(prompts, ids, strict=True):
                if token in prompt and last not in row:
                    raise EmbeddingError(
                        f"The prompt {prompt[:60]!r} is too long for {self._model.name} "
                        f"({length} tokens): {token} would be cut off; shorten it."
                    )
        if int(ids.max()) >= first + sum(self._words.values()):
            raise EmbeddingError(f"The tokenizer of {self._model.name} gives ids out of range.")
        return ids

    def _expand(self, prompt: str) -> str:
        """``<t>`` to ``<t> <t>_1 …``, the order of diffusers."""
        for token, count in self._words.items():
            prompt = prompt.replace(token, " ".join(_names(token, count)))
        return prompt

    def __call__(
        self, ids: Sequence[torch.Tensor], vectors: Sequence[torch.Tensor]
    ) -> Conditioning:
        """Encode prompts; differentiable in ``vectors``.

        Args:
            ids: of :meth:`tokenize`, on the model's device.
            vectors: [vectors of all words, width] a text encoder, words in the order of ``words``.
        """
        outputs = []
        two = len(self._model.text_encoders) > 1
        for tokenizer, encoder, row, learned in zip(
            self._tokenizers, self._model.text_encoders, ids, vectors, strict=True
        ):
            first = len(tokenizer) - len(learned)
            mask = None
            if getattr(encoder.config, "use_attention_mask", False):
                mask = (row != tokenizer.pad_token_id).long()
            with _words_from(encoder, learned, first):
                outputs.append(encoder(row, attention_mask=mask, output_hidden_states=two))
        if not two:
            return Conditioning(outputs[0][0], None)
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return Conditioning(hidden, outputs[-1][0])


class _Lookup(nn.Module):
    """The frozen vocabulary, with ids from ``first`` on taken from the learned vectors."""

    def __init__(self, vocabulary: nn.Module, learned: torch.Tensor, first: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.learned = learned
        self.first = first

    @property
    def weight(self) -> torch.Tensor:
        weight: torch.Tensor = self.vocabulary.weight  # type: ignore[assignment]
        return weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        known: torch.Tensor = self.vocabulary(ids.clamp(max=self.first - 1))
        if len(self.learned) == 0:
            return known
        new = F.embedding((ids - self.first).clamp(min=0), self.learned).to(known.dtype)
        return torch.where((ids >= self.first)[..., None], new, known)


@contextmanager
def _words_from(encoder: Any, learned: torch.Tensor, first: int) -> Iterator[None]:
    """Inside, the encoder knows ids ``first``, ``first + 1``, … as the rows of ``learned``."""
    vocabulary = encoder.get_input_embeddings()
    encoder.set_input_embeddings(_Lookup(vocabulary, learned, first))
    try:
        yield
    finally:
        encoder.set_input_embeddings(vocabulary)


def _names(token: str, count: int) -> list[str]:
    """Names of a word's vectors: ``<t>``, ``<t>_1``, …, as diffusers has them."""
    return [token, *(f"{token}_{i}" for i in range(1, count))]


def refuse_known_token(tokenizer: Any, token: str) -> None:
    """Raise EmbeddingError where ``token`` is a word that the model has already."""
    if not token or any(character.isspace() for character in token):
        raise EmbeddingError(
            f"placeholder_token {token!r} must be one word without spaces, such as <my-concept>."
        )
    vocabulary = tokenizer.get_vocab()
    if token in vocabulary or f"{token.lower()}</w>" in vocabulary:
        raise EmbeddingError(
            f"placeholder_token {token!r} is in the model's vocabulary already; choose one that "
            f"is not, such as <my-{token.strip('<>')}>."
        )


def initial_embedding(
    model: TextToImageModel, settings: TokenSettings, seed: int = 0, concept: str = ""
) -> Embedding:
    """The word before training: every vector the initializer word's, or a file's vectors.

    Vectors of one word start alike up to a seeded thousandth of their length, so that they are
    free to part.

    Raises:
        EmbeddingError: the placeholder is in the vocabulary, the initializer is several tokens,
            or its file does not fit the model.
    """
    for tokenizer in model.tokenizers:
        refuse_known_token(tokenizer, settings.placeholder_token)
    metadata = {"base_model": model.name, "base_model_fingerprint": model.fingerprint}
    metadata |= {f"base_model_{name}": value for name, value in model.origin.items()}
    if concept:
        metadata["concept"] = concept
    if settings.initializer.endswith(".safetensors") or Path(settings.initializer).is_file():
        found = load_embedding(settings.initializer, settings.placeholder_token)
        check_fits(model, found, settings.initializer)
        if found.num_vectors != settings.num_vectors:
            raise EmbeddingError(
                f"initializer {settings.initializer} has {found.num_vectors} vectors and "
                f"num_vectors is {settings.num_vectors}; set num_vectors: {found.num_vectors}."
            )
        return Embedding(found.token, found.vectors, metadata, found.second)
    parts = []
    for tokenizer, encoder in zip(model.tokenizers, model.text_encoders, strict=True):
        row = encoder.get_input_embeddings().weight[_single_token(tokenizer, settings.initializer)]
        start = row.detach().float().cpu().repeat(settings.num_vectors, 1)
        noise = torch.randn(start.shape, generator=generator(seed, "initializer"))
        parts.append(start + noise * (1e-3 * row.float().cpu().norm() / len(row) ** 0.5))
    second = parts[1] if len(parts) > 1 else None
    return Embedding(settings.placeholder_token, parts[0], metadata, second)


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


def check_fits(model: TextToImageModel, embedding: Embedding, source: str | None = None) -> None:
    """Raise EmbeddingError where an embedding's widths are not the model's."""
    widths = tuple(part.shape[1] for part in embedding.parts)
    if widths != model.widths:
        made_for = describe_embedding(embedding).removeprefix("for ")
        raise EmbeddingError(
            f"{source or embedding.token} has vectors of width {_list(widths)}, made for "
            f"{made_for}; {model.name} needs width {_list(model.widths)}."
        )


def _list(widths: Sequence[int]) -> str:
    return " and ".join(str(width) for width in widths)
