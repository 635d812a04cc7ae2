"""Textual inversion of the bundled base model, by COTI's own trainer, and its judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from assets.build.world import CLASS_NAMES, split_of_class, to_rgb
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.generation.fixed_noise import generate_fixed
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.trainer import train_cycle
from coti.metrics.judge import embed_references, judge_images
from coti.settings import (
    EvaluationSettings,
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)

MODELS = Path("assets/models")
TOKEN = "<concept>"


@dataclass(frozen=True)
class Inversion:
    """How an embedding is learned and generates; the same for every concept and set of images."""

    phases: tuple[tuple[float, int], ...] = ((1e-2, 350), (2.5e-3, 200))
    """(AdamW learning rate, optimizer steps) one after the other."""
    batch_size: int = 32
    num_vectors: int = 4
    initializer: str = "object"
    """A word that is no concept's supercategory."""
    samples: int = 512
    """Images generated for the judge."""
    guidance_scale: float = 2.2
    seed: int = 0

    def token(self) -> TokenSettings:
        """Of the embedding to be learned."""
        return TokenSettings(
            placeholder_token=TOKEN, initializer=self.initializer, num_vectors=self.num_vectors
        )

    def generation(self) -> GenerationSettings:
        """How it generates."""
        return GenerationSettings(guidance_scale=self.guidance_scale)


@dataclass(frozen=True)
class Workbench:
    """A base model and the judge, loaded once."""

    model: TextToImageModel
    how: Inversion = field(default_factory=Inversion)

    @classmethod
    def load(cls, base_model: Path, how: Inversion | None = None) -> Workbench:
        """The base model of a folder."""
        return cls(
            load_text_to_image(ModelSettings(base_model=str(base_model))), how or Inversion()
        )

    def start(self) -> Embedding:
        """The embedding before training."""
        return Embedding.initial(self.model, self.how.token())

    def learn(self, grey: npt.NDArray[np.uint8]) -> Embedding:
        """Invert images, uint8 [n, 32, 32]."""
        images, embedding = torch.from_numpy(to_rgb(grey)), self.start()
        for phase, (rate, steps) in enumerate(self.how.phases):
            train = TrainSettings(
                learning_rates=(rate,),
                max_steps=steps,
                batch_size=self.how.batch_size,
                checkpoint_every=0,
            )
            seed = self.how.seed + phase
            embedding = train_cycle(
                self.model, images, None, embedding, train, ScheduleSettings(), None, seed
            ).embedding
        return embedding

    def generate(self, embedding: Embedding) -> torch.Tensor:
        """Images of an embedding, uint8 [samples, 3, 32, 32]."""
        how = self.how
        return generate_fixed(
            self.model, embedding, how.generation(), how.samples, how.seed, "judge"
        ).images

    def generate_from_name(self, name: str) -> torch.Tensor:
        """Images of a prompt with the bare name, uint8 [samples, 3, 32, 32]."""
        prompts = [f"a photo of a {name}"] * self.how.samples
        return generate(self.model, prompts, [], self.how.generation(), self.how.seed)


def judge_generated(images: torch.Tensor, name: str) -> dict[str, float]:
    """``fd_judge``, ``kid`` and ``r_precision`` (top 1 of 10) against the held-out references."""
    judge = load_image_text_encoder(str(MODELS / "judge"))
    settings = EvaluationSettings(captions=CLASS_NAMES)
    held = torch.from_numpy(to_rgb(split_of_class("reference", CLASS_NAMES.index(name))))
    references = embed_references(judge, name, held, settings)
    found = judge_images(judge, images, references, name, settings, 0)
    return {key: float(found[key]) for key in ("fd_judge", "kid", "r_precision")}
