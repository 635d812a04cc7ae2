"""New tokens in a prompt: their ids, and their vectors where the frozen vocabulary has none.

The vocabulary is not copied, resized or trained. While a prompt is encoded, the text encoder's
token lookup is replaced by one that takes ids beyond the vocabulary from the small tensor of
learned vectors; what comes out is what ``pipe.load_textual_inversion`` would give, exactly. That is
one thread's at a time: several may use one model, and each must find its own vectors there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from coti.core.errors import EmbeddingError
from coti.core.quiet_libraries import quiet_libraries
from coti.core.tokens import fault_of_token, folded
from coti.inversion.base_model import TextToImageModel
from coti.inversion.families.protocol import Conditioning

__all__ = ["PromptEncoder", "refuse_known_token"]

_ONE_AT_A_TIME = Lock()
"""Of all models: transformers, too, keeps notes in the modules while they compute."""


class PromptEncoder:
    """Encodes prompts that may hold new tokens.

    Args:
        model: whose tokenizers and text encoders are used; neither is changed.
        tokens: placeholder token to number of vectors, in the order in which their vectors will be
            given; may be empty.

    Raises:
        EmbeddingError: a token is in the vocabulary already, inside another one, or such as a
            tokenizer takes apart.
    """

    def __init__(self, model: TextToImageModel, tokens: Mapping[str, int]) -> None:
        self._model = model
        self._tokens = dict(tokens)
        for token in tokens:
            inside = [other for other in tokens if other != token and token in other]
            if inside:
                raise EmbeddingError(
                    f"The tokens {token!r} and {inside[0]!r} cannot stand in one prompt, one is "
                    "part of the other; rename one (token=…)."
                )
        self._tokenizers = []
        for tokenizer in model.tokenizers:
            extended = copy.deepcopy(tokenizer)
            for token, count in tokens.items():
                refuse_known_token(tokenizer, token)
                with quiet_libraries():
                    added = extended.add_tokens(_names(token, count))
                if added != count:
                    raise EmbeddingError(
                        f"Some of {_names(token, count)} are in the vocabulary of {model.name} "
                        "already; choose another placeholder_token."
                    )
            for token, count in tokens.items():
                names = _names(token, count)
                whole = extended(" ".join(names), add_special_tokens=False).input_ids
                if whole != extended.convert_tokens_to_ids(names):
                    raise EmbeddingError(
                        f"The tokenizer of {model.name} does not keep {token!r} whole; choose "
                        "another placeholder_token, such as <my-concept>."
                    )
            self._tokenizers.append(extended)

    def tokenize(self, prompts: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Ids [n, length] on the CPU, one tensor a text encoder, padded as the model pads.

        Raises:
            EmbeddingError: a prompt is so long that a new token would be cut off.
        """
        return tuple(
            self._ids(tokenizer, encoder, prompts)
            for tokenizer, encoder in zip(self._tokenizers, self._model.text_encoders, strict=True)
        )

    def _ids(self, tokenizer: Any, encoder: Any, prompts: Sequence[str]) -> torch.Tensor:
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        prompts = [folded(prompt) for prompt in prompts]  # as the tokenizer reads them
        expanded = [self._expand(prompt) for prompt in prompts]
        ids: torch.Tensor = tokenizer(
            expanded, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        first = len(tokenizer) - sum(self._tokens.values())
        for token, count in self._tokens.items():
            last = tokenizer.convert_tokens_to_ids(_names(token, count)[-1])
            for prompt, row in zip(prompts, ids, strict=True):
                if token in prompt and last not in row:
                    raise EmbeddingError(
                        f"The prompt {prompt[:60]!r} is too long for {self._model.name} "
                        f"({length} tokens): {token} would be cut off; shorten it."
                    )
        if int(ids.max()) >= first + sum(self._tokens.values()):
            raise EmbeddingError(f"The tokenizer of {self._model.name} gives ids out of range.")
        return ids

    def _expand(self, prompt: str) -> str:
        """``<t>`` to ``<t> <t>_1 …``, the order of diffusers."""
        for token, count in self._tokens.items():
            prompt = prompt.replace(token, " ".join(_names(token, count)))
        return prompt

    def __call__(
        self,
        ids: Sequence[torch.Tensor],  # of tokenize, on the model's device
        vectors: Sequence[torch.Tensor],  # [vectors of all tokens in order, width] a text encoder
    ) -> Conditioning:
        """Encode prompts; differentiable in ``vectors``."""
        text_encoders = self._model.text_encoders
        masks = [
            (row != tokenizer.pad_token_id).long()
            if getattr(encoder.config, "use_attention_mask", False)
            else None
            for tokenizer, encoder, row in zip(self._tokenizers, text_encoders, ids, strict=True)
        ]
        with _ONE_AT_A_TIME, ExitStack() as replaced:
            if self._tokens:
                for tokenizer, encoder, learned in zip(
                    self._tokenizers, text_encoders, vectors, strict=True
                ):
                    first = len(tokenizer) - len(learned)
                    replaced.enter_context(_vectors_from(encoder, learned, first))
            return self._model.family.encode(text_encoders, ids, masks)


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
        new = F.embedding((ids - self.first).clamp(min=0), self.learned).to(known.dtype)
        return torch.where((ids >= self.first)[..., None], new, known)


@contextmanager
def _vectors_from(encoder: Any, learned: torch.Tensor, first: int) -> Iterator[None]:
    """Inside, the encoder knows ids ``first``, ``first + 1``, … as the rows of ``learned``."""
    vocabulary = encoder.get_input_embeddings()
    encoder.set_input_embeddings(_Lookup(vocabulary, learned, first))
    try:
        yield
    finally:
        encoder.set_input_embeddings(vocabulary)


def _names(token: str, count: int) -> list[str]:
    """Names of a token's vectors: ``<t>``, ``<t>_1``, …, as diffusers has them."""
    return [token, *(f"{token}_{i}" for i in range(1, count))]


def refuse_known_token(tokenizer: Any, token: str) -> None:
    """Raise EmbeddingError where ``token`` is in the vocabulary already, or no token at all."""
    if fault := fault_of_token(token):
        raise EmbeddingError(f"placeholder_token {fault}.")
    vocabulary = tokenizer.get_vocab()
    if token in vocabulary or f"{token}</w>" in vocabulary:
        raise EmbeddingError(
            f"placeholder_token {token!r} is in the model's vocabulary already; choose one that "
            f"is not, such as <my-{token.strip('<>')}>."
        )
