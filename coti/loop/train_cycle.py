"""Station 4 of a cycle: train the embedding and generate with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.encoders.captioners import Captioner
from coti.generation.fixed_noise import generate_fixed
from coti.generation.own_settings import with_settings
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import CheckpointStore
from coti.inversion.latent_store import LatentStore
from coti.inversion.trainer import train_cycle as train_embedding
from coti.loop.inputs import Encoders, Images
from coti.loop.missing_captions import with_missing
from coti.loop.state import LoopState
from coti.scores.formulas import PhiValue
from coti.settings import RunSettings

__all__ = ["TrainedCycle", "train_cycle"]


@dataclass(frozen=True)
class TrainedCycle:
    """What training leaves."""

    embedding: Embedding
    generated: torch.Tensor
    """X_TI: uint8 [n, 3, h, w]."""
    samples: torch.Tensor
    """On fixed noise, the same in every cycle: uint8 [n, 3, h, w]."""
    curve: list[dict[str, float | int | None]]
    """A row an optimizer step: loss, rate, stage, φ."""
    summary: dict[str, Any]
    """``steps``, ``image_steps``, ``lr_stage`` (1 is r_1), ``stop_reason``, ``train_size``,
    ``compile_seconds``, ``seconds``."""


def train_cycle(
    state: LoopState,
    model: TextToImageModel,
    encoders: Encoders,  # of the scores that make φ
    seeds: ImageSet,
    pool: Images,
    captions: Mapping[str, str],  # id to caption; seeds have none
    start: Embedding,
    settings: RunSettings,  # of coti.loop.plan.effective
    *,
    captioner: Captioner | None = None,  # of what has no caption
    checkpoint: CheckpointStore | None = None,  # where a killed training goes on from
    latent_store: LatentStore | None = None,  # where many latents are kept between runs
) -> TrainedCycle:
    """Train the embedding on X_T, φ driving the rate (Eq. 12), and generate X_TI with it."""
    began = time.monotonic()
    generation, seed, training_set = settings.generation, settings.seed, state.training_set
    scorer = encoders.with_scores(*state.scorers)

    def images_of(embedding: Embedding, count: int, purpose: str) -> torch.Tensor:
        return generate_fixed(model, embedding, generation, count, seed, purpose).images

    def evaluate_phi(embedding: Embedding, _step: int) -> PhiValue:
        return scorer.indicator(images_of(embedding, generation.phi_images, "phi"))

    own = seeds.tensor(training_set.seeds)
    parts = [own, pool.tensor(training_set.selected)] if training_set.selected else [own]
    images = ImageSet(list(training_set.ids), torch.cat(parts))
    if settings.train.captions != "templates":
        template = settings.captioner.template
        captions = with_missing(captions, images.names, images, captioner, template)
    result = train_embedding(
        model,
        images.images,
        [captions.get(name, "") for name in training_set.ids],
        start,
        settings.train,
        settings.schedule,
        evaluate_phi,
        derived_seed(seed, "train", state.cycle),
        checkpoint,
        token=settings.token,
        latent_store=latent_store,
    )
    embedding = with_settings(result.embedding, generation)
    return TrainedCycle(
        embedding,
        images_of(embedding, generation.cycle_images, "cycle"),
        images_of(embedding, generation.sample_images, "sample"),
        result.curve,
        {
            "steps": result.steps,
            "image_steps": result.image_steps,
            "lr_stage": int(result.curve[-1]["stage"] or 0) + 1,
            "stop_reason": result.stop_reason,
            "train_size": len(training_set),
            "compile_seconds": result.compile_seconds,
            "seconds": time.monotonic() - began,
        },
    )
