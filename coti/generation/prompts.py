"""Prompts with placeholder tokens: from a file, by difficulty, checked before they are used.

In every prompt ``{}`` stands for the (first) embedding's token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from coti.core.errors import ConfigError, EmbeddingError
from coti.core.text_files import read_text
from coti.core.tokens import folded, replace_token
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel

__all__ = [
    "EDITABILITY_PROMPTS",
    "check_tokens",
    "fill_prompts",
    "plain_prompt",
    "read_prompts",
]

EDITABILITY_PROMPTS: dict[str, tuple[str, ...]] = {
    "background": (
        "a photo of {} on the moon",
        "a photo of {} on the beach",
        "a photo of {} in the jungle",
    ),
    "style": (
        "an oil painting of {}",
        "a watercolor painting of {}",
        "a pencil sketch of {}",
    ),
    "composition": (
        "Elmo holding a {}",
        "a {} next to a cup of coffee",
        "a child playing with a {}",
    ),
}
"""Prompts of rising difficulty, by what they ask for beside the concept (Gal et al. 2022, §5.1,
name one of each kind; the others are in their manner)."""

_TOKEN = re.compile(r"<[^<>\s]+>")
_HEADING = re.compile(r"^\[([^\[\]]+)\]$")


def read_prompts(path: Path | str) -> dict[str, tuple[str, ...]]:
    """Prompts of a text file, one a line, by the ``[heading]`` that they stand under.

    Blank lines and lines that begin with ``#`` are passed over; prompts before the first heading
    are under ``""``.

    Raises:
        ConfigError: the file cannot be read as text, or holds no prompt.
    """
    lines = read_text(path, "The file of prompts").splitlines()
    found: dict[str, list[str]] = {}
    heading = ""
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        match = _HEADING.match(line)
        if match:
            heading = match[1]
        else:
            found.setdefault(heading, []).append(line)
    if not found:
        raise ConfigError(f"{path} holds no prompt: write one a line.")
    return {heading: tuple(prompts) for heading, prompts in found.items()}


def fill_prompts(prompts: Sequence[str], embeddings: Sequence[Embedding]) -> list[str]:
    """The prompts with ``{}`` replaced by the first embedding's token.

    Raises:
        ConfigError: a prompt is empty.
        EmbeddingError: a prompt has ``{}`` and there is no embedding.
    """
    for prompt in prompts:
        if not prompt.strip():
            raise ConfigError("A prompt is empty: write what the image should show.")
        if "{}" in prompt and not embeddings:
            raise EmbeddingError(
                f"The prompt {prompt!r} has a place for a token, {{}}, and no embedding is "
                "given: name one, or write the prompt out."
            )
    token = embeddings[0].token if embeddings else ""
    return [prompt.replace("{}", token) for prompt in prompts]


def check_tokens(
    model: TextToImageModel, prompts: Sequence[str], embeddings: Sequence[Embedding]
) -> None:
    """Refuse a prompt with a ``<token>`` that is neither an embedding's nor in the vocabulary.

    A text encoder reads an unknown token as letters, an image comes out, and nobody sees why.

    Raises:
        EmbeddingError: names the token, the prompt and the tokens there are.
    """
    given = [embedding.token for embedding in embeddings]
    vocabulary = model.tokenizers[0].get_vocab()
    for prompt in prompts:
        for token in _TOKEN.findall(folded(prompt)):
            if token in vocabulary or f"{token}</w>" in vocabulary:
                continue
            if not any(own in token for own in given):
                known = f"the tokens here are {', '.join(given)}" if given else "none is given"
                raise EmbeddingError(
                    f"The prompt {prompt!r} uses {token}, and no embedding defines it ({known}): "
                    "mend its spelling, or give its embedding, too."
                )


def plain_prompt(prompt: str, embeddings: Sequence[Embedding], word: str | None = None) -> str:
    """The prompt without the embeddings' tokens.

    ``word`` stands in for the first; without it each one's concept, as its file's metadata names
    it. Where there is neither, the token is left out.
    """
    for place, embedding in enumerate(embeddings):
        own = embedding.metadata.get("concept", "")
        said = word if word is not None and place == 0 else own
        prompt = replace_token(prompt, embedding.token, said)
    return " ".join(prompt.split())
