"""What a checkpoint is worth: quick textual inversions on clean pictures, judged."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors import safe_open
from torch import nn

from assets.build.base_export import build_pipeline
from assets.build.captions import MAX_TOKENS
from assets.build.diffusion import STATE_FILE
from assets.build.templates import OBJECT_TEMPLATES
from assets.build.world import CLASS_NAMES, RESOLUTION, split_of_class, to_rgb
from coti.features import OpenClipEncoder, load_image_text_encoder
from coti.metrics.frechet import frechet_distance
from coti.metrics.r_precision import r_precision

JUDGE = "assets/models/judge"


@dataclass(frozen=True)
class Inversion:
    """How the quick textual inversion is done, and how its pictures are drawn."""

    pictures: int = 200
    """Clean pictures of split ``pool``."""
    vectors: int = 4
    """Embedding vectors of the new word."""
    initializer: str = "object"
    """Word whose vector each of them starts from."""
    steps: int = 400
    """Optimizer steps of ``batch`` pictures."""
    batch: int = 32
    """Pictures a step."""
    rate: float = 1e-2
    """AdamW learning rate; falls along a cosine to a tenth."""
    samples: int = 256
    """Pictures drawn for the judge."""
    guidance: float = 2.0
    """Classifier-free guidance scale."""
    sampling_steps: int = 15
    """Steps of the sampler."""
    sampler: str = "dpm"
    """``dpm`` (DPM-Solver++ 2M) or ``ddim``."""


class _Words(nn.Module):
    """A frozen embedding table with trainable rows after its last."""

    def __init__(self, table: nn.Embedding, count: int, start: int) -> None:
        super().__init__()
        self.table = table
        first = table.weight.detach()[start].repeat(count, 1)
        self.rows = nn.Parameter(first + 0.01 * torch.randn_like(first))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return F.embedding(ids, torch.cat([self.table.weight, self.rows]))


class Learner:
    """The base model with a word to be learned in it."""

    def __init__(self, pipeline: StableDiffusionPipeline, how: Inversion, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.pipeline, self.how = pipeline, how
        self.unet = pipeline.unet.requires_grad_(False).eval()
        self.text = pipeline.text_encoder.requires_grad_(False).eval()
        self.scale = float(pipeline.vae.config.scaling_factor)
        tokenizer = pipeline.tokenizer
        if "<new-0>" not in tokenizer.get_vocab():
            tokenizer.add_tokens([f"<new-{row}>" for row in range(how.vectors)])
        self.word = " ".join(f"<new-{row}>" for row in range(how.vectors))
        table = self.text.get_input_embeddings()
        table = table.table if isinstance(table, _Words) else table
        start = tokenizer.encode(how.initializer, add_special_tokens=False)[0]
        self.words = _Words(table, how.vectors, start)
        self.text.set_input_embeddings(self.words)

    def ids(self, texts: Sequence[str]) -> torch.Tensor:
        """Token ids [n, MAX_TOKENS]."""
        tokens = self.pipeline.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        ids: torch.Tensor = tokens.input_ids
        return ids

    def learn(self, grey: npt.NDArray[np.uint8]) -> tuple[float, float]:
        """Invert uint8 [n, 32, 32]; returns the mean loss of the end and seconds a step."""
        how, random = self.how, np.random.default_rng(0)
        with torch.inference_mode():
            pixels = torch.from_numpy(to_rgb(grey)).float() / 127.5 - 1.0
            moments = self.pipeline.vae.encode(pixels).latent_dist.parameters
        mean, log_variance = moments.clone().chunk(2, dim=1)
        optimizer = torch.optim.AdamW([self.words.rows], lr=how.rate, weight_decay=0.0)
        ids = self.ids([template.format(self.word) for template in OBJECT_TEMPLATES])
        schedule, losses, start = self.pipeline.scheduler, [], time.monotonic()
        for step in range(how.steps):
            fall = 0.55 + 0.45 * np.cos(np.pi * step / how.steps)
            optimizer.param_groups[0]["lr"] = how.rate * fall
            rows = torch.from_numpy(random.integers(0, len(grey), how.batch))
            chosen = torch.from_numpy(random.integers(0, len(ids), how.batch))
            spread = torch.exp(0.5 * log_variance[rows])
            latents = (mean[rows] + spread * torch.randn_like(spread)) * self.scale
            noise = torch.randn_like(latents)
            steps = ((torch.arange(how.batch) + torch.rand(how.batch)) * 1000 / how.batch).long()
            noisy = schedule.add_noise(latents, noise, steps)
            output = self.unet(noisy, steps, self.text(ids[chosen]).last_hidden_state).sample
            loss = F.mse_loss(output, schedule.get_velocity(latents, noise, steps))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses[-50:])), (time.monotonic() - start) / how.steps

    @torch.inference_mode()
    def draw(self, prompt: str, count: int, seed: int = 1) -> torch.Tensor:
        """Pictures of a prompt, uint8 [count, 3, 32, 32]."""
        how, config = self.how, self.pipeline.scheduler.config
        solver = (
            DPMSolverMultistepScheduler.from_config(config)
            if how.sampler == "dpm"
            else DDIMScheduler.from_config(config, set_alpha_to_one=True)
        )
        solver.set_timesteps(how.sampling_steps)
        text = self.text(self.ids(["", prompt])).last_hidden_state
        text = text.repeat_interleave(count, dim=0)
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(count, 4, 8, 8, generator=generator) * solver.init_noise_sigma
        for step in solver.timesteps:
            both = solver.scale_model_input(torch.cat([latents, latents]), step)
            bare, told = self.unet(both, step, text).sample.chunk(2)
            velocity = bare + how.guidance * (told - bare)
            latents = solver.step(velocity, step, latents).prev_sample
        pixels: torch.Tensor = self.pipeline.vae.decode(latents / self.scale).sample
        return pixels.clamp(-1, 1).add(1).mul(127.5).round().byte()


@dataclass(frozen=True)
class Judge:
    """Fréchet distance and R-precision of pictures of one class."""

    encoder: OpenClipEncoder
    captions: torch.Tensor

    @classmethod
    def load(cls) -> Judge:
        """The bundled judge and the captions of the ten classes."""
        encoder = load_image_text_encoder(JUDGE)
        return cls(encoder, encoder.encode_texts([f"a photo of a {name}" for name in CLASS_NAMES]))

    def __call__(self, pictures: torch.Tensor, name: str) -> tuple[float, float]:
        """(fd_judge against the held-out references, R-precision top 1 of 10)."""
        label = CLASS_NAMES.index(name)
        real = self.encoder.encode_images(
            torch.from_numpy(to_rgb(split_of_class("reference", label)))
        )
        features = self.encoder.encode_images(pictures)
        return frechet_distance(features, real), r_precision(features, self.captions, label)


def save_grid(pictures: torch.Tensor, path: Path, across: int = 16) -> None:
    """The first four rows of pictures as one PNG, twice their size."""
    rows = pictures[: 4 * across, 0].numpy().reshape(-1, across, RESOLUTION, RESOLUTION)
    grid = rows.transpose(0, 2, 1, 3).reshape(-1, across * RESOLUTION)
    image = Image.fromarray(np.ascontiguousarray(grid))
    image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(path)


def run_ladder(
    work: Path,
    concepts: Sequence[str] = ("ankle boot", "bag", "coat"),
    how: Inversion | None = None,
    grid: bool = True,
) -> None:
    """Invert each concept, judge it, and append a row to ``ladder.csv`` in the work folder."""
    how = how or Inversion()
    judge, pipeline = Judge.load(), build_pipeline(work)
    with safe_open(work / STATE_FILE, framework="pt") as stored:
        step = float(stored.metadata()["step"])
    for name in concepts:
        learner = Learner(pipeline, how)
        pictures = learner.draw(f"a photo of a {name}", 128)
        floor = judge(pictures, name)
        clean = split_of_class("pool", CLASS_NAMES.index(name))[: how.pictures]
        loss, pace = learner.learn(clean)
        start = time.monotonic()
        pictures = learner.draw(f"a photo of a {learner.word}", how.samples)
        seconds = time.monotonic() - start
        distance, precision = judge(pictures, name)
        row = {
            "time": time.strftime("%H:%M:%S"),
            "step": int(step),
            "concept": name,
            "floor_fd": round(floor[0], 3),
            "floor_r": round(floor[1], 3),
            "fd_judge": round(distance, 3),
            "r_precision": round(precision, 3),
            "loss": round(loss, 4),
            "inversion_seconds_a_step": round(pace, 4),
            "sampling_seconds": round(seconds, 2),
            **{key: getattr(how, key) for key in how.__dataclass_fields__},
        }
        print(row, flush=True)
        path = work / "ladder.csv"
        fresh = not path.is_file()
        with path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if grid:
            save_grid(pictures, work / f"grid-{name.replace(' ', '-')}.png")
