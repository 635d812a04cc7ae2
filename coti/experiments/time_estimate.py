"""How long cells take on this machine, from a few seconds of real training and drawing."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from coti.generation.fixed_noise import generate_fixed
from coti.generation.prompts import EDITABILITY_PROMPTS
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.trainer import train_cycle
from coti.settings import CellSettings

__all__ = ["Pace", "Work", "measure_pace", "work_of"]


@dataclass(frozen=True)
class Work:
    """What a cell does at most."""

    image_steps: int
    """Images through the UNet in training."""
    drawn: int
    """Images drawn."""

    def __add__(self, other: Work) -> Work:
        return Work(self.image_steps + other.image_steps, self.drawn + other.drawn)


@dataclass(frozen=True)
class Pace:
    """Seconds of one thread count on one machine."""

    image_step: float
    drawn: float

    def seconds(self, work: Work) -> float:
        """How long that work takes; scoring and metrics are a few seconds a cell on top."""
        return self.image_step * work.image_steps + self.drawn * work.drawn


def work_of(cell: CellSettings) -> Work:
    """Most image-steps and drawn images of a cell; a plateau of φ ends cycles earlier."""
    how = cell.generation
    ends = cell.judged_images + how.sample_images
    if cell.strategy == "none":
        return Work(0, ends)
    cycles = cell.controller.max_cycles + 1
    evaluations = cycles * (cell.train.max_steps // cell.train.phi_every)
    if not cell.schedule.dynamic:
        evaluations = 0
    looks = cycles if cell.growth == "cycles" else 1
    drawn = evaluations * how.phi_images + looks * (how.cycle_images + how.sample_images) + ends
    drawn += cell.edit_images * (1 + sum(map(len, EDITABILITY_PROMPTS.values())))
    return Work(cell.image_step_cap, drawn)


def measure_pace(model: TextToImageModel, cell: CellSettings, steps: int = 4) -> Pace:
    """Time a few optimizer steps and one batch of drawing, after a step that warms up."""
    before = torch.get_num_threads()
    torch.set_num_threads(cell.threads)
    try:
        word = Embedding.initial(model, cell.token, 0, "pace")
        side = model.resolution
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (8, 3, side, side), generator=generator).byte()
        train = replace(cell.train, checkpoint_every=0, phi_unit="steps")

        def trained(count: int) -> float:
            start = time.perf_counter()
            settings = replace(train, max_steps=count, phi_every=count + 1)
            train_cycle(
                model, images, None, word, settings, cell.schedule, None, 0, token=cell.token
            )
            return time.perf_counter() - start

        first = trained(1)
        more = trained(1 + steps)
        a_step = cell.train.batch_size * cell.train.gradient_accumulation_steps
        count = min(cell.generation.batch_size, 32)
        start = time.perf_counter()
        generate_fixed(model, word, cell.generation, count, 0, "pace")
        drawn = (time.perf_counter() - start) / count
        return Pace(max(more - min(first, more / 2), 1e-6) / (steps * a_step), drawn)
    finally:
        torch.set_num_threads(before)
