"""How good a word is: reconstruction and editability, and how even its images are.

What ``coti evaluate`` calls. The paper draws 64 images a prompt and compares CLIP features; here
any image-text model takes CLIP's part, and the record names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from coti.encoders.protocol import ImageTextEncoder
from coti.generation.prompted import draw_prompts
from coti.generation.prompts import EDITABILITY_PROMPTS
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.metrics import class_shares, editability, evenness, reconstruction
from coti.settings import GenerationSettings

__all__ = ["ClassNames", "WordMetrics", "measure_word"]


@dataclass(frozen=True)
class ClassNames:
    """The classes that images are told apart by, for the evenness of a word."""

    all: tuple[str, ...]
    expected: tuple[str, ...]
    """Those that the word stands for."""
    template: str = "a photo of a {}"


@dataclass(frozen=True)
class WordMetrics:
    """What was measured of one word with one seed."""

    label: str
    num_vectors: int
    """0 for a word of the vocabulary."""
    seed: int
    images_per_prompt: int
    encoder: str
    reconstruction: float
    """Mean pairwise cosine to the concept's images; 1 is least distortion."""
    editability: float
    """Mean over the prompts."""
    by_difficulty: dict[str, float] = field(default_factory=dict)
    """Editability by the prompts' heading."""
    shares: dict[str, float] = field(default_factory=dict)
    """Share of the bare word's images by class, where classes are given."""
    entropy: float | None = None
    """Bits, over the expected classes."""
    largest_share: float | None = None
    """Of one expected class, among the images of expected classes; so is the entropy."""
    expected_share: float | None = None
    """Share of the images that show an expected class at all."""

    def row(self) -> dict[str, str | float | int | None]:
        """One flat row of a table."""
        return {
            "label": self.label,
            "num_vectors": self.num_vectors,
            "seed": self.seed,
            "images_per_prompt": self.images_per_prompt,
            "encoder": self.encoder,
            "reconstruction": self.reconstruction,
            "editability": self.editability,
            **{f"editability_{name or 'all'}": value for name, value in self.by_difficulty.items()},
            "entropy": self.entropy,
            "largest_share": self.largest_share,
            "expected_share": self.expected_share,
            **{f"share_{name}": value for name, value in self.shares.items()},
        }


def measure_word(
    model: TextToImageModel,
    encoder: ImageTextEncoder,
    word: Embedding | str,  # a learned word, or a word of the vocabulary: the per-word baseline
    references: torch.Tensor,  # uint8 [m, 3, h, w], the concept's own images
    prompts: Mapping[str, Sequence[str]] | None = None,  # by difficulty; {} is the word's place
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    label: str | None = None,
    images_per_prompt: int = 64,
    bare_prompt: str = "a photo of a {}",
    negative_prompt: str = "",
    classes: ClassNames | None = None,
) -> WordMetrics:
    """Draw the bare word and every prompt with it, and compare.

    Raises:
        EmbeddingError, ConfigError: of :func:`coti.generation.prompted.draw_prompts`.
        MetricError: an expected class is none of those measured.
    """
    prompts = prompts or EDITABILITY_PROMPTS
    words = [word] if isinstance(word, Embedding) else []
    name = word.token if isinstance(word, Embedding) else word
    texts = [prompt for group in prompts.values() for prompt in group]
    drawn = draw_prompts(
        model,
        [prompt.replace("{}", name) for prompt in [bare_prompt, *texts]],
        words,
        settings,
        seed,
        num_images=images_per_prompt,
        negative_prompt=negative_prompt,
        progress=f"drawing {label or name}",
    )
    features = encoder.encode_images(drawn.images)
    bare, *rest = torch.split(features, images_per_prompt)
    captions = encoder.encode_texts([_without_word(prompt) for prompt in texts])
    scores = {
        prompt: editability(rows, caption[None])
        for prompt, rows, caption in zip(texts, rest, captions, strict=True)
    }
    shares, (entropy, largest, expected) = _balance(encoder, bare, classes)
    return WordMetrics(
        label=label or name,
        num_vectors=word.num_vectors if isinstance(word, Embedding) else 0,
        seed=seed,
        images_per_prompt=images_per_prompt,
        encoder=encoder.name,
        reconstruction=reconstruction(bare, encoder.encode_images(references)),
        editability=sum(scores.values()) / len(scores),
        by_difficulty={
            heading: sum(scores[prompt] for prompt in group) / len(group)
            for heading, group in prompts.items()
        },
        shares=shares,
        entropy=entropy,
        largest_share=largest,
        expected_share=expected,
    )


def _without_word(prompt: str) -> str:
    """``a photo of {} on the moon`` to ``a photo of on the moon``: the paper leaves it out."""
    return " ".join(prompt.replace("{}", "").split())


def _balance(
    encoder: ImageTextEncoder, bare: torch.Tensor, classes: ClassNames | None
) -> tuple[dict[str, float], tuple[float, float, float] | tuple[None, None, None]]:
    """Shares by class and their evenness; nothing where no classes are given."""
    if classes is None:
        return {}, (None, None, None)
    captions = encoder.encode_texts([classes.template.replace("{}", n) for n in classes.all])
    shares = class_shares(bare, captions, classes.all)
    return shares, evenness(shares, classes.expected)
