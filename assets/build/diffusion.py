"""The base model's text encoder and UNet: their shapes and their training."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from assets.build.autoencoder import encode_images, load_autoencoder
from assets.build.captions import MAX_TOKENS, CaptionBook
from assets.build.checkpoint import save_tensors
from assets.build.mess import degraded_split
from assets.build.muon import MixedOptimizer
from assets.build.world import load_split
from coti.inversion.device import cpu_computes_bfloat16

WIDTH = 128
"""Width of the text encoder and of cross-attention."""

DEGRADED_SHARE = 0.13
"""Share of a training batch that is degraded images."""

DEGRADED_EVERY = 4
"""Every fourth image has a degraded copy among the latents."""

EMPTY_CAPTIONS = 0.10
"""Share of captions that are empty, for classifier-free guidance."""

STATE_FILE = "diffusion.safetensors"
FINISH_FLAG = "finish"


def build_unet() -> UNet2DConditionModel:
    """A fresh UNet: 64 channels at 8x8, 160 at 4x4, where it attends to the text."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A fresh text encoder for this vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_schedule() -> DDPMScheduler:
    """Stable Diffusion's betas with a slightly noisier end, v-prediction, trailing steps."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.014,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,  # as Stable Diffusion; without it pipelines warn
        clip_sample=False,
    )


class Conditioned(nn.Module):
    """Text encoder and UNet as one module, so that one state dict holds both."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(tokenizer)
        self.unet = build_unet().to(memory_format=torch.channels_last)

    def forward(self, noisy: torch.Tensor, steps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Predicted v, [n, 4, 8, 8], of noisy latents at integer steps under token ids."""
        hidden = self.text_encoder(ids).last_hidden_state
        velocity: torch.Tensor = self.unet(noisy, steps, hidden).sample
        return velocity


@dataclass(frozen=True)
class LatentBook:
    """Latents of the base split, encoded once, and what their captions are made of."""

    moments: torch.Tensor
    """[n + m, 8, 8, 8] mean and log-variance: n clean images, then m degraded copies."""
    degradations: list[tuple[str, ...]]
    """[m] the words of each degraded copy; they are of images 0, 4, 8, …"""
    scale: float
    """Latents are multiplied by this."""
    captions: CaptionBook
    tokenizer: CLIPTokenizer

    def batch(self, size: int, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled latents [size, 4, 8, 8] and token ids [size, MAX_TOKENS]."""
        dirty, clean = len(self.degradations), len(self.moments) - len(self.degradations)
        bad = random.random(size) < DEGRADED_SHARE
        copies = random.integers(0, dirty, size)
        rows = np.where(bad, copies * DEGRADED_EVERY, random.integers(0, clean, size))
        texts = [
            ""
            if random.random() < EMPTY_CAPTIONS
            else self.captions.caption(row, self.degradations[copy] if is_bad else (), random)
            for row, copy, is_bad in zip(rows.tolist(), copies.tolist(), bad.tolist(), strict=True)
        ]
        chosen = self.moments[torch.from_numpy(np.where(bad, clean + copies, rows))]
        mean, log_variance = chosen.chunk(2, dim=1)
        latents = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        ids = self.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        ).input_ids
        return latents * self.scale, ids


def build_latent_book(folder: Path, captions: CaptionBook, tokenizer: CLIPTokenizer) -> LatentBook:
    """Encode the base split and its degraded copies; kept in a file named by the encoder."""
    images, words = degraded_split("base", folder)
    autoencoder = load_autoencoder(folder)
    digest = hashlib.sha256(autoencoder.encoder.conv_out.weight.detach().numpy().tobytes())
    kept = folder / f"latents-{digest.hexdigest()[:12]}.safetensors"
    if not kept.is_file():
        both: npt.NDArray[np.uint8] = np.concatenate(
            [load_split("base")[0], images[::DEGRADED_EVERY]]
        )
        save_tensors({"moments": encode_images(autoencoder, both)}, kept)
    scale = float(autoencoder.config.scaling_factor)
    return LatentBook(
        load_file(kept)["moments"], words[::DEGRADED_EVERY], scale, captions, tokenizer
    )


def _save(
    path: Path,
    model: Conditioned,
    average: Conditioned,
    optimizer: MixedOptimizer,
    progress: dict[str, float],
) -> None:
    """Write everything a later process needs to go on."""
    parts = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.tensors(),
    }
    tensors = {
        f"{part}.{name}": value for part, all_ in parts.items() for name, value in all_.items()
    }
    save_tensors(tensors, path, {key: repr(value) for key, value in progress.items()})


def _restore(
    path: Path, model: Conditioned, average: Conditioned, optimizer: MixedOptimizer
) -> dict[str, float]:
    """Load what ``_save`` wrote; returns step and seconds spent."""
    with safe_open(path, framework="pt") as stored:
        progress = {key: float(value) for key, value in stored.metadata().items()}
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for full, value in load_file(path).items():
        part, name = full.split(".", 1)
        parts[part][name] = value
    model.load_state_dict(parts["model"])
    average.load_state_dict(parts["average"])
    optimizer.restore(parts["optimizer"])
    return progress


def load_average(folder: Path, tokenizer: CLIPTokenizer) -> Conditioned:
    """The averaged weights of the last checkpoint, in eval mode."""
    model = Conditioned(tokenizer)
    prefix = "average."
    with safe_open(folder / STATE_FILE, framework="pt") as stored:
        names = [name for name in stored.keys() if name.startswith(prefix)]  # noqa: SIM118
        model.load_state_dict({n.removeprefix(prefix): stored.get_tensor(n) for n in names})
    return model.eval()


def _stratified_steps(size: int, total: int) -> torch.Tensor:
    """Integer steps [size] in [0, total): half of them even, half in the noisier middle.

    The middle, where what is generated gets decided, is a logit-normal (Esser et al. 2024, section
    3.1) with mean 0.3 and deviation 0.8. Each half takes one from each of its equal parts.
    """
    parts = (torch.arange(size) + torch.rand(size)) / size
    middle = torch.sigmoid(0.3 + 0.8 * torch.special.ndtri(parts[1::2].clamp(1e-4, 1 - 1e-4)))
    mixed = torch.cat([parts[0::2], middle])
    return (mixed * total).long().clamp_(max=total - 1)


def train_diffusion(
    folder: Path,  # checkpoint, latents, the finish flag
    book: LatentBook,
    hours: float,  # wall clock over all runs together, decay included
    decay_minutes: float = 25.0,  # linear fall of the rate to nothing, at the end
    batch: int = 160,  # images a step
    peak_rate: float = 1e-3,  # learning rate between warm-up and decay
    warm_up: int = 150,  # steps
    memory: float = 0.999,  # of the average of the weights, a step
    checkpoint_minutes: float = 4.0,
    publish: Callable[[], None] | None = None,  # called after a checkpoint
    publish_minutes: float = 20.0,  # at least so long between two calls
    seed: int = 0,
) -> None:
    """Train on v-prediction; resumes from the last checkpoint.

    A file named ``finish`` in the folder starts the decay at once.
    """
    model, average = Conditioned(book.tokenizer), Conditioned(book.tokenizer)
    average.load_state_dict(model.state_dict())
    optimizer = MixedOptimizer(model, peak_rate, edges=("conv_in", "conv_out"))
    state = folder / STATE_FILE
    progress = {"step": 0.0, "seconds": 0.0, "decay_from": 3600.0 * hours - 60.0 * decay_minutes}
    if state.is_file():
        deadline = progress["decay_from"]
        progress = _restore(state, model, average, optimizer)
        progress["decay_from"] = deadline
        print(f"resumed at step {progress['step']:.0f}", flush=True)
    step, before = int(progress["step"]), progress["seconds"]
    random = np.random.default_rng((seed, step))
    torch.manual_seed(seed + step)
    schedule = build_schedule()
    native_bf16 = cpu_computes_bfloat16()
    start = saved = time.monotonic()
    published = start - 60.0 * (publish_minutes / 2.0)  # so that the first comes early
    losses: list[float] = []
    while True:
        seconds = before + time.monotonic() - start
        if (folder / FINISH_FLAG).is_file():
            progress["decay_from"] = min(progress["decay_from"], seconds)
            (folder / FINISH_FLAG).unlink()
        left = 1.0 - (seconds - progress["decay_from"]) / (60.0 * decay_minutes)
        if left <= 0.0:
            break
        rate = peak_rate * min(1.0, left, (step + 1) / warm_up)
        latents, ids = book.batch(batch, random)
        noise = torch.randn_like(latents)
        steps = _stratified_steps(batch, 1000)
        noisy = schedule.add_noise(latents, noise, steps)
        target = schedule.get_velocity(latents, noise, steps)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        # The gradient of flash attention is slow on a CPU: a fifth of a step.
        with (
            sdpa_kernel(SDPBackend.MATH),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=native_bf16),
        ):
            output = model(noisy, steps, ids)
        loss = F.mse_loss(output.float(), target)
        with sdpa_kernel(SDPBackend.MATH):
            torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(rate)
        step += 1
        _follow(average, model, min(memory, step / (step + 10.0)))
        losses.append(loss.item())
        if step % 50 == 0:
            seconds = (time.monotonic() - start) / len(losses)
            print(
                f"{time.strftime('%H:%M:%S')} step {step} loss {np.mean(losses[-50:]):.4f} "
                f"rate {rate:.2e} {seconds:.3f} s a step",
                flush=True,
            )
        if time.monotonic() - saved > 60.0 * checkpoint_minutes:
            progress |= {"step": float(step), "seconds": before + time.monotonic() - start}
            _save(state, model, average, optimizer, progress)
            saved = time.monotonic()
            if publish is not None and saved - published > 60.0 * publish_minutes:
                publish()
                published = saved
    progress |= {"step": float(step), "seconds": before + time.monotonic() - start}
    _save(state, model, average, optimizer, progress)
    if publish is not None:
        publish()
    print(f"finished at step {step}", flush=True)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, memory: float) -> None:
    """Move the averaged weights towards the model's."""
    mine = [value for value in average.state_dict().values() if value.is_floating_point()]
    theirs = [value for value in model.state_dict().values() if value.is_floating_point()]
    torch._foreach_lerp_(mine, theirs, 1.0 - memory)
