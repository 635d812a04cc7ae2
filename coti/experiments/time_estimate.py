"""How long runs take on this machine, from a few seconds of real training and generation."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from coti.core.threads import on_its_threads
from coti.generation.fixed_noise import generate_fixed
from coti.generation.prompts import EDITABILITY_PROMPTS
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.trainer import train_cycle
from coti.loop.plan import NO_TRAINING, effective
from coti.settings import RunSettings

__all__ = ["Speed", "Work", "measure_speed", "work_of"]


@dataclass(frozen=True)
class Work:
    """What a run does at most."""

    image_steps: int
    """Images through the UNet in training."""
    generated: int
    """Images generated."""

    def __add__(self, other: Work) -> Work:
        return Work(self.image_steps + other.image_steps, self.generated + other.generated)


@dataclass(frozen=True)
class Speed:
    """Seconds of one thread count on one machine."""

    image_step: float
    generated: float

    def seconds(self, work: Work) -> float:
        """How long that work takes; scoring and metrics are a few seconds a run on top."""
        return self.image_step * work.image_steps + self.generated * work.generated


def work_of(settings: RunSettings) -> Work:
    """Most image-steps and generations of a run; a plateau of φ ends cycles earlier."""
    how, measured = settings.generation, settings.measurement
    ends = measured.images + how.sample_images
    if settings.strategy == NO_TRAINING:
        return Work(0, ends)
    run = effective(settings)
    cycles = run.controller.max_cycles + 1
    evaluations = cycles * (run.train.max_steps // run.train.phi_every)
    generated = evaluations * how.phi_images
    generated += cycles * (how.cycle_images + how.sample_images) + ends
    generated += measured.edit_images * (1 + sum(map(len, EDITABILITY_PROMPTS.values())))
    return Work(settings.image_step_cap, generated)


@on_its_threads
def measure_speed(model: TextToImageModel, settings: RunSettings) -> Speed:
    """Time a few optimizer steps and one batch of generating, after a step that warms up."""
    steps = 4
    embedding = Embedding.initial(model, settings.token, 0, "speed")
    side = model.resolution
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, side, side), generator=generator).byte()
    train = replace(settings.train, checkpoint_every=0, phi_unit="steps")

    def trained(count: int) -> float:
        start = time.perf_counter()
        timed = replace(train, max_steps=count, phi_every=count + 1)
        train_cycle(
            model, images, ["an image"] * len(images), embedding, timed, settings.schedule, None, 0,
            token=settings.token,
        )  # fmt: skip
        return time.perf_counter() - start

    first = trained(1)
    more = trained(1 + steps)
    a_step = settings.train.batch_size * settings.train.gradient_accumulation_steps
    count = min(settings.generation.batch_size, 32)
    start = time.perf_counter()
    generate_fixed(model, embedding, settings.generation, count, 0, "speed")
    generated = (time.perf_counter() - start) / count
    return Speed(max(more - min(first, more / 2), 1e-6) / (steps * a_step), generated)
