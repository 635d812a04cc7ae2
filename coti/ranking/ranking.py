"""Which checkpoint is the best one, and which can't be told from it.

The order is by the distance of what a checkpoint generates to images of the concept: held-out ones
where there are any, else the training set. A checkpoint that gives its training images back comes
after those that don't, however near that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from coti.core.errors import ConfigError, MetricError
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized
from coti.inversion.base_model import TextToImageModel
from coti.loop.verdict import FACTS
from coti.metrics.editability import editability
from coti.metrics.likeness import nearest, share_of_copies
from coti.metrics.manifold import NEIGHBOURS, density_coverage, precision_recall
from coti.metrics.paired_distance import Estimate, KernelDistance, kernel_distance
from coti.ranking.checkpoint_kinds import Checkpoint, generate_with, without
from coti.settings import GenerationSettings

__all__ = ["GENERAL_PROMPTS", "SHOWN", "Judges", "Protocol", "Ranked", "Ranking", "rank"]

GENERAL_PROMPTS = (
    "a photo of a person",
    "a photo of a dog",
    "a photo of a house",
    "an oil painting of a landscape",
)
"""Prompts that no concept is in: what a LoRA changes there is drift."""
SHOWN = 8
"""Images of each that are kept for the page."""
_ENOUGH = 5 * NEIGHBOURS
"""Images on a side from which fidelity, variety and order are more than a few images' accident."""
_COPIES = 0.9999
"""Cosine from which two training images are one."""


@dataclass(frozen=True)
class Protocol:
    """How images are made for the comparison: the same for all."""

    prompt: str = "a photo of a {}"
    """``{}`` stands for a checkpoint's word."""
    images: int = 64
    """Of that prompt; at least 2."""
    scenes: tuple[str, ...] = ()
    """Prompts with ``{}`` that put the concept somewhere; none: text agreement is missing."""
    scene_images: int = 4
    """Of each."""
    general: tuple[str, ...] = GENERAL_PROMPTS
    """Without ``{}``; none: drift is missing."""
    negative_prompt: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Judges:
    """What looks at the images."""

    image_text: ImageTextEncoder
    """For text agreement and drift."""
    images: ImageEncoder
    """For distances, fidelity, variety and copies; best one that was trained on no names."""


@dataclass(frozen=True)
class Ranked:
    """What is known of one checkpoint; what could not be measured is None."""

    checkpoint: Checkpoint
    images: torch.Tensor
    """uint8 [≤ SHOWN, 3, h, w], the first ones of the bare prompt or of its folder."""
    count: int
    """How many were measured."""
    to_references: KernelDistance | None
    to_training: KernelDistance | None
    precision: float | None
    """Share of the images that are as near to the compared ones as these are to each other."""
    coverage: float | None
    """Share of the compared ones that have one of the images among their neighbours."""
    text: float | None
    """Mean cosine of the scenes' images and their captions, −1 to 1."""
    copies: float | None
    """Share of the images that are nearly one of the training set: memorised."""
    drift: float | None
    """1 − mean cosine of what the base model makes of other prompts with it and without; 0: an
    embedding changes nothing there."""
    compared: int = 0
    """How many images the distance that orders is to."""
    behind: Estimate | None = None
    """Its distance less the best one's; None: it is the best."""

    @property
    def distance(self) -> KernelDistance:
        """The one that orders."""
        found = self.to_training if self.to_references is None else self.to_references
        assert found is not None  # rank() needs one of both
        return found

    @property
    def memorises(self) -> bool:
        """Whether it gives back more of its training images than a run that worked does."""
        return self.copies is not None and self.copies > (FACTS["memorised"].doubtful or 1.0)


@dataclass(frozen=True)
class Ranking:
    """All checkpoints, best first."""

    rows: tuple[Ranked, ...]

    @property
    def best(self) -> Ranked:
        """The first."""
        return self.rows[0]

    @property
    def as_good(self) -> tuple[Ranked, ...]:
        """Those that these images can't tell from the best."""
        return tuple(row for row in self.rows[1:] if self.is_as_good(row))

    def is_as_good(self, row: Ranked) -> bool:
        """Whether nothing that was measured puts it behind the best."""
        if row.behind is None:
            return True
        told = row.behind.is_told_from_zero(self.comparisons)
        return row.memorises == self.best.memorises and not told

    @property
    def comparisons(self) -> int:
        """Pairs: the best is the best of them by the same images, so each might have been it."""
        return len(self.rows) * (len(self.rows) - 1) // 2

    @property
    def sentence(self) -> str:
        """Who is the best, who can't be told from it, and what speaks against all."""
        said = f"{self.best.checkpoint.label} is the best of {len(self.rows)}"
        if self.as_good:
            names = ", ".join(row.checkpoint.label for row in self.as_good)
            said += f"; these images cannot tell it from {names}"
        out = [row for row in self.rows[1:] if row.memorises != self.best.memorises]
        if out:
            names = ", ".join(row.checkpoint.label for row in out)
            said += f"; {names}: out, for giving training images back"
        if not self.as_good and len(self.rows) - len(out) > 1:
            said += f", and the {'rest is' if out else 'others are'} further away"
        said += "."
        least = min(min(row.count, row.compared) for row in self.rows)
        if least < _ENOUGH:
            said += (
                f" That rests on {least} images on a side: give {_ENOUGH} or more before you "
                "believe it."
            )
        if self.best.memorises:
            said += (
                " All of them give training images back: take an earlier checkpoint, or train on "
                "more images."
            )
        return said


def rank(
    checkpoints: Sequence[Checkpoint],
    judges: Judges,
    *,
    read: Callable[[Checkpoint], Checkpoint] | None = None,  # reads a folder's samples, in its turn
    model: TextToImageModel | None = None,  # that checkpoints without images generate with
    settings: GenerationSettings | None = None,
    protocol: Protocol | None = None,
    references: torch.Tensor | None = None,  # uint8 [m, 3, h, w], nothing was trained on
    training: torch.Tensor | None = None,  # uint8 [k, 3, h, w], all were trained on
) -> Ranking:
    """Compare what checkpoints generate from the same prompts and noise, or have generated.

    Raises:
        ConfigError: nothing to compare with, two images on a side are not there, or no model for
            what must generate.
        EmbeddingError: a checkpoint does not fit the model.
    """
    protocol, settings = protocol or Protocol(), settings or GenerationSettings()
    if references is None and training is None:
        raise ConfigError(
            "There is nothing to compare with: give images of the concept that nothing was trained "
            "on (--references), those that were trained on (--training), or best both."
        )
    if model is None and any(each.generates for each in checkpoints):
        raise ConfigError("Checkpoints that generate need a base model: give --model.")
    placed = [each for each in protocol.general if "{}" in each]
    if placed:
        raise ConfigError(
            f"The general prompt {placed[0]!r} has a place for the word: what drifts is looked for "
            "in prompts without it."
        )
    compared = {"references": references, "training": training}
    for name, images in compared.items():
        if images is not None and len(images) < 2:
            raise ConfigError(f"--{name} has one image: two or more are needed.")
    encoded = {
        name: None if images is None else judges.images.encode_images(images)
        for name, images in compared.items()
    }
    captions = (
        normalized(judges.image_text.encode_texts([_caption(scene) for scene in protocol.scenes]))
        if protocol.scenes
        else None
    )
    plain = None
    if model is not None and protocol.general and any(e.kind == "LoRA" for e in checkpoints):
        plain = _general(model, without(), judges, protocol, settings)
    rows = [
        _measured(
            each if read is None else read(each),
            judges, model, settings, protocol, encoded, captions, plain,
        )
        for each in checkpoints
    ]  # fmt: skip
    return _ordered(rows)


def _measured(
    checkpoint: Checkpoint,
    judges: Judges,
    model: TextToImageModel | None,
    settings: GenerationSettings,
    protocol: Protocol,
    encoded: dict[str, torch.Tensor | None],
    captions: torch.Tensor | None,
    plain: torch.Tensor | None,
) -> Ranked:
    text = drift = None
    if checkpoint.generates:
        assert model is not None
        images = generate_with(
            model, checkpoint, [protocol.prompt], protocol.images, settings, protocol.seed,
            protocol.negative_prompt,
        )  # fmt: skip
        if captions is not None:
            text = _text_agreement(model, checkpoint, judges, settings, protocol, captions)
        if checkpoint.kind == "embedding":
            drift = 0.0
        elif plain is not None:
            own = _general(model, checkpoint, judges, protocol, settings)
            drift = float(1 - (own * plain).sum(dim=1).double().mean())
    else:
        assert checkpoint.samples is not None
        images = checkpoint.samples
    features = judges.images.encode_images(images)
    try:
        distances = {
            name: None if others is None else kernel_distance(features, others)
            for name, others in encoded.items()
        }
    except MetricError as error:
        raise ConfigError(f"{checkpoint.label}: {error}") from error
    references, training = encoded["references"], encoded["training"]
    near = training if references is None else references
    assert near is not None
    enough = min(len(features), len(near)) >= _ENOUGH
    return Ranked(
        replace(checkpoint, samples=None),
        images[:SHOWN].clone(),
        len(images),
        distances["references"],
        distances["training"],
        precision=precision_recall(features, near)[0] if enough else None,
        coverage=density_coverage(features, near)[1] if enough else None,
        text=text,
        copies=None if training is None else _copies(features, training),
        drift=drift,
        compared=len(near),
    )


def _copies(features: torch.Tensor, training: torch.Tensor) -> float | None:
    """Of the training images each counts once; None where one is left."""
    kept: list[int] = []
    unit = normalized(training)
    for place in range(len(unit)):
        if not kept or float(nearest(unit[place : place + 1], unit[kept])) < _COPIES:
            kept.append(place)
    return share_of_copies(normalized(features), unit[kept]) if len(kept) > 1 else None


def _text_agreement(
    model: TextToImageModel,
    checkpoint: Checkpoint,
    judges: Judges,
    settings: GenerationSettings,
    protocol: Protocol,
    captions: torch.Tensor,
) -> float:
    images = generate_with(
        model, checkpoint, protocol.scenes, protocol.scene_images, settings, protocol.seed,
        protocol.negative_prompt,
    )  # fmt: skip
    found = torch.split(judges.image_text.encode_images(images), protocol.scene_images)
    each = [editability(own, text[None]) for own, text in zip(found, captions, strict=True)]
    return sum(each) / len(each)


def _general(
    model: TextToImageModel,
    checkpoint: Checkpoint,
    judges: Judges,
    protocol: Protocol,
    settings: GenerationSettings,
) -> torch.Tensor:
    """Features of the general prompts' images, L2-normalised."""
    images = generate_with(
        model, checkpoint, protocol.general, protocol.scene_images, settings, protocol.seed,
        protocol.negative_prompt,
    )  # fmt: skip
    return normalized(judges.image_text.encode_images(images))


def _caption(scene: str) -> str:
    """A scene without the word's place, as the Textual Inversion paper compares it."""
    return " ".join(scene.replace("{}", "").split())


def _ordered(rows: Sequence[Ranked]) -> Ranking:
    best, *others = sorted(rows, key=lambda row: (row.memorises, row.distance.value))
    return Ranking(
        (
            best,
            *(replace(row, behind=_difference(row, best)) for row in others),
        )
    )


def _difference(row: Ranked, best: Ranked) -> Estimate:
    paired = row.checkpoint.generates and best.checkpoint.generates
    return row.distance.minus(best.distance, paired)
