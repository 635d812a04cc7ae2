"""The base model's autoencoder: 32x32 RGB to 8x8x4 latents and back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_clip
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from assets.build.checkpoint import save_tensors
from assets.build.mess import degraded_split
from assets.build.muon import MixedOptimizer
from assets.build.world import RESOLUTION, load_split
from coti.inversion.device import cpu_computes_bfloat16

DEGRADED_SHARE = 0.2
"""Share of a training batch that is degraded images."""

KL_WEIGHT = 2e-6
"""Weight of the KL term per latent number; only keeps the latents from drifting apart."""


LATENT_NOISE = 0.05
"""Standard deviation of the noise on the latents between encoder and decoder in training."""


def build_autoencoder() -> AutoencoderKL:
    """A fresh, untrained autoencoder."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 40, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=RESOLUTION,
        mid_block_add_attention=False,
    )


def to_input(grey: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Grey uint8 [n, 32, 32] to float32 [n, 3, 32, 32] in [-1, 1], channels last."""
    pixels = torch.from_numpy(np.ascontiguousarray(grey)).float().div_(127.5).sub_(1.0)
    rgb = pixels[:, None].expand(-1, 3, -1, -1)
    return rgb.contiguous(memory_format=torch.channels_last)


def _edges(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences between neighbours, down and across."""
    return images.diff(dim=2), images.diff(dim=3)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 and squared error of the pixels, and L1 of their differences, so edges stay sharp."""
    pixels = F.l1_loss(output, target) + 2.0 * F.mse_loss(output, target)
    edges = sum(F.l1_loss(a, b) for a, b in zip(_edges(output), _edges(target), strict=True))
    return pixels + 0.5 * edges


class FeatureDistance(torch.nn.Module):
    """How far apart two images are in the scorer's first layers, as LPIPS (Zhang et al. 2018).

    The judge would be a better teacher of what it grades, and is kept out of this.
    """

    def __init__(self, scorer: Path) -> None:
        super().__init__()
        model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{scorer}")
        config = json.loads((scorer / "open_clip_config.json").read_text())["preprocess_cfg"]
        self.size, self.mean, self.std = config["size"], config["mean"][0], config["std"][0]
        self.trunk = model.visual.requires_grad_(False).float().eval()

    def _layers(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of each stage, unit length over the channels."""
        larger = F.interpolate(images, self.size, mode="bicubic", align_corners=False)
        features = self.trunk.stem((0.5 * larger + 0.5 - self.mean) / self.std)
        found = [features]
        for stage in (self.trunk.layer1, self.trunk.layer2, self.trunk.layer3, self.trunk.layer4):
            features = stage(features)
            found.append(features)
        return [F.normalize(layer, dim=1, eps=1e-4) for layer in found]

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over the layers of the squared distance of images [n, 3, 32, 32] in [-1, 1]."""
        with torch.no_grad():
            wanted = self._layers(target)
        apart = [
            (mine - theirs).square().sum(dim=1).mean()
            for mine, theirs in zip(self._layers(output), wanted, strict=True)
        ]
        return torch.stack(apart).mean()


def train_autoencoder(
    folder: Path,  # where log and final weights go, and the weights to start from, if any
    minutes: float = 12.0,  # wall clock
    decoder_only: bool = False,  # leave the encoder as it is, so that latents keep their meaning
    batch: int = 32,  # images a step
    peak_rate: float = 1.5e-3,  # learning rate after warm-up
    scorer: Path = Path("assets/models/scorer"),  # whose features must come out alike
    feature_weight: float = 2.0,  # of their distance, beside the reconstruction loss
) -> None:
    """Train for a fixed time with a warm-up and a linear fall of the rate.

    Goes on from ``autoencoder.safetensors`` where there is one. Writes that, and, with the
    latents' scale, ``autoencoder.json``. A little noise on the latents makes the decoder
    forgiving towards latents that were generated.
    """
    features = FeatureDistance(scorer)
    random = np.random.default_rng(int(time.time()))
    clean, _ = load_split("base")
    dirty, _ = degraded_split("base", folder)
    kept = folder / "autoencoder.safetensors"
    going_on = kept.is_file()
    model = load_autoencoder(folder) if going_on else build_autoencoder()
    model.to(memory_format=torch.channels_last).train()
    if decoder_only:
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = MixedOptimizer(model, peak_rate, edges=("conv_in", "conv_out", "quant_conv"))
    native_bf16 = cpu_computes_bfloat16()
    start, step, losses = time.monotonic(), 0, []
    while (spent := (time.monotonic() - start) / (60.0 * minutes)) < 1.0:
        rows = random.integers(0, len(clean), batch)
        cut = int(batch * DEGRADED_SHARE)
        images = to_input(np.concatenate([dirty[rows[:cut]], clean[rows[cut:]]]))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=native_bf16):
            posterior = model.encode(images).latent_dist
            latents = posterior.sample()
            output = model.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample.float()
            apart = features(output, images)
        loss = reconstruction_loss(output, images) + feature_weight * apart
        torch.autograd.backward(loss + KL_WEIGHT * posterior.kl().float().mean())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(peak_rate * min(1.0, (step + 1) / 100, 1.2 * (1.0 - spent)) + 1e-6)
        step += 1
        losses.append((loss.item(), apart.item()))
        with torch.no_grad():
            decay = min(0.998, step / (step + 20))
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1.0 - decay)
        if step % 100 == 0:
            seconds = (time.monotonic() - start) / step
            whole, part = np.mean(losses[-100:], axis=0)
            print(
                f"{spent:.3f} step {step} loss {whole:.4f}, of features {part:.4f} "
                f"{seconds:.3f} s a step",
                flush=True,
            )
    scale = float(model.config.scaling_factor) if going_on and decoder_only else None
    save_tensors(average, kept)
    model.load_state_dict(average)
    measure_latents(model, folder, scale)


@torch.inference_mode()
def encode_images(model: AutoencoderKL, grey: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Posterior parameters (mean, log-variance) of grey images, float32 [n, 8, 8, 8]."""
    parts = [
        model.encode(to_input(grey[first : first + 256])).latent_dist.parameters
        for first in range(0, len(grey), 256)
    ]
    return torch.cat(parts).contiguous()


def measure_latents(
    model: AutoencoderKL, folder: Path, scaling_factor: float | None = None
) -> None:
    """Write the scale that gives clean latents unit standard deviation, and the errors."""
    model.eval()
    clean, _ = load_split("base")
    images = clean[::19]
    moments = encode_images(model, images)
    mean, log_variance = moments.chunk(2, dim=1)
    total = (mean.var() + log_variance.exp().mean()).sqrt().item()
    with torch.inference_mode():
        output = model.decode(mean).sample.clamp(-1.0, 1.0)
    error = F.mse_loss(output, to_input(images)).item()
    record = {
        "scaling_factor": scaling_factor or 1.0 / total,
        "channel_mean": mean.mean(dim=(0, 2, 3)).tolist(),
        "channel_std": mean.std(dim=(0, 2, 3)).tolist(),
        "posterior_std": (0.5 * log_variance).exp().mean().item(),
        "mse": error,
        "psnr": float(10.0 * np.log10(4.0 / error)),
    }
    (folder / "autoencoder.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record), flush=True)


def load_autoencoder(folder: Path) -> AutoencoderKL:
    """The trained autoencoder with its scaling factor set, in eval mode."""
    model = build_autoencoder()
    model.load_state_dict(load_file(folder / "autoencoder.safetensors"))
    record = json.loads((folder / "autoencoder.json").read_text())
    model.register_to_config(scaling_factor=record["scaling_factor"])
    return model.to(memory_format=torch.channels_last).eval()
