"""How good an embedding is: reconstruction and editability, and how even its images are.

What ``coti evaluate`` calls. The paper generates 64 images a prompt and compares CLIP features;
here any image-text model takes CLIP's part, and the record names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from coti.encoders.protocol import ImageTextEncoder
from coti.generation.prompted import generate_prompts
from coti.generation.prompts import EDITABILITY_PROMPTS
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.metrics import class_shares, editability, evenness, reconstruction
from coti.settings import GenerationSettings

__all__ = ["ClassNames", "EmbeddingMetrics", "measure_embedding"]


@dataclass(frozen=True)
class ClassNames:
    """The classes that images are told apart by, for the evenness of an embedding."""

    all: tuple[str, ...]
    expected: tuple[str, ...]
    """Those that the concept covers."""
    template: str = "a photo of a {}"


@dataclass(frozen=True)
class EmbeddingMetrics:
    """What was measured of one embedding, or word of the vocabulary, with one seed."""

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
    """Share of the bare prompt's images by class, where classes are given."""
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


def measure_embedding(
    model: TextToImageModel,
    encoder: ImageTextEncoder,
    embedding: Embedding | str,  # or a word of the vocabulary: the per-word baseline
    references: torch.Tensor,  # uint8 [m, 3, h, w], the concept's own images
    prompts: Mapping[str, Sequence[str]] | None = None,  # by difficulty; {} is the token's place
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    label: str | None = None,
    images_per_prompt: int = 64,
    bare_prompt: str = "a photo of a {}",
    negative_prompt: str = "",
    classes: ClassNames | None = None,
) -> EmbeddingMetrics:
    """Generate the bare prompt and every other with the embedding, and compare.

    Raises:
        EmbeddingError, ConfigError: of :func:`coti.generation.prompted.generate_prompts`.
        MetricError: an expected class is none of those measured.
    """
    prompts = prompts or EDITABILITY_PROMPTS
    embeddings = [embedding] if isinstance(embedding, Embedding) else []
    name = embedding.token if isinstance(embedding, Embedding) else embedding
    texts = [prompt for group in prompts.values() for prompt in group]
    generated = generate_prompts(
        model,
        [prompt.replace("{}", name) for prompt in [bare_prompt, *texts]],
        embeddings,
        settings,
        seed,
        num_images=images_per_prompt,
        negative_prompt=negative_prompt,
        progress=f"generating {label or name}",
    )
    features = encoder.encode_images(generated.images)
    bare, *rest = torch.split(features, images_per_prompt)
    captions = encoder.encode_texts([_without_token(prompt) for prompt in texts])
    scores = {
        prompt: editability(rows, caption[None])
        for prompt, rows, caption in zip(texts, rest, captions, strict=True)
    }
    shares, (entropy, largest, expected) = _balance(encoder, bare, classes)
    return EmbeddingMetrics(
        label=label or name,
        num_vectors=sum(each.num_vectors for each in embeddings),
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


def _without_token(prompt: str) -> str:
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
