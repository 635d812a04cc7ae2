"""Train the bundled class-blind judge: SimCLR (Chen et al. 2020) on split ``judge``, no labels.

    python -m assets.build.ssl_judge             twelve minutes of one core; goes on where it was
    python -m assets.build.ssl_judge --measure   what the model card says, beside other encoders

A network that was trained on the ten names puts all coats in about one place, and cannot see
whether generated coats vary. This one is asked something else: which two views of a batch are of
one image. So it keeps apart what differs between two coats. Its views are mild, and none is blurred
or noisy: what a judge was taught to overlook, it cannot grade.

It writes ``assets/models/ssl_judge`` as timm does: ``config.json`` and float16
``model.safetensors``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional

from assets.build import world
from assets.build.checkpoint import save_tensors
from assets.build.clip_models import IMAGE_MEAN, IMAGE_STD, MODELS, to_input
from assets.build.muon import MixedOptimizer
from coti.encoders.protocol import EncoderOptions
from coti.encoders.registry import load_encoder

FOLDER = MODELS / "ssl_judge"
WORK = Path("scratch/ssl_judge")
ARCHITECTURE = "resnet10t"
OPTIONS: dict[str, Any] = {"channels": [32, 64, 96, 128], "stem_width": 16}
"""Of timm. 128 features: a Fréchet distance needs more images than features."""
SIDE = 64
"""Of the images that the network sees, in pixels; the world's are half of that."""

STEPS = 900
BATCH = 256
"""Images a step; each gives two views."""
PEAK_RATE = 2e-3
WARM_UP = 100
TEMPERATURE = 0.2
SEED = 0
CHECKPOINT_EVERY = 100

AREA = (0.5, 1.0)
"""Share of the image that a crop shows."""
SQUEEZE = 1.15
"""Most that a crop is wider than high, or higher than wide."""
TURN = math.radians(10)
BRIGHTNESS = CONTRAST = 0.2

NEIGHBOURS = 20
"""Of the card's kNN accuracy."""


class Contrast(nn.Module):
    """The network and the head that SimCLR trains it through and throws away."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.network: Any = timm.create_model(
            ARCHITECTURE, pretrained=False, num_classes=0, **OPTIONS
        )
        width = OPTIONS["channels"][-1]
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised [n, 3, SIDE, SIDE] to float32 [n, 64] of length 1."""
        with torch.autocast("cpu", torch.bfloat16):
            features = self.head(self.network(images))
        return functional.normalize(features.float(), dim=-1)


def views(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random view of each grey uint8 [n, h, w]: uint8 [n, SIDE, SIDE].

    A crop, turned a little, half of them mirrored, with other brightness and contrast.
    """

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(len(images)).uniform_(low, high, generator=generator)

    side = uniform(*AREA).sqrt()
    squeeze = uniform(-1, 1).mul(math.log(SQUEEZE) / 2).exp()
    width, height = (side * squeeze).clamp(max=1), (side / squeeze).clamp(max=1)
    across, down = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    angle = uniform(-TURN, TURN)
    mirrored = 1 - 2 * (uniform(0, 1) < 0.5).float()
    rows = torch.stack([mirrored * width * angle.cos(), -height * angle.sin(), across], dim=1)
    columns = torch.stack([mirrored * width * angle.sin(), height * angle.cos(), down], dim=1)
    places = functional.affine_grid(
        torch.stack([rows, columns], dim=1), [len(images), 1, SIDE, SIDE], align_corners=False
    )
    grey = functional.grid_sample(images[:, None].float(), places, align_corners=False)[:, 0]
    # Contrast as an exponent, so that black stays black.
    contrast = uniform(-CONTRAST, CONTRAST).exp()[:, None, None]
    brightness = uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)[:, None, None]
    return (255 * (grey / 255) ** contrast * brightness).clamp(0, 255).round().byte()


def contrastive_loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """NT-Xent of two views' features [n, d] of length 1 each (Chen et al. 2020, Eq. 1)."""
    both = torch.cat([first, second])
    alike = both @ both.T / TEMPERATURE
    alike.fill_diagonal_(-math.inf)
    count = len(first)
    partner = torch.arange(2 * count).roll(count)
    return functional.cross_entropy(alike, partner)


def train(folder: Path, work: Path, steps: int = STEPS) -> None:
    """Train, or go on from the checkpoint in ``work``; write ``folder``.

    Every random number is named by its step, so a training that was interrupted ends as one that
    was not.
    """
    images = torch.from_numpy(world.load_split("judge")[0])
    torch.manual_seed(SEED)
    model = Contrast().to(memory_format=torch.channels_last).train()
    optimizer = MixedOptimizer(model, PEAK_RATE, edges=("conv1", "head"))
    kept = work / "checkpoint.safetensors"
    done = _restore(kept, model, optimizer) if kept.is_file() else 0
    a_pass = len(images) // BATCH
    start = time.process_time()
    for step in range(done, steps):
        order = _generator(f"order {step // a_pass}").permutation(len(images))
        place = step % a_pass * BATCH
        chosen = images[torch.from_numpy(order[place : place + BATCH])]
        generator = torch.Generator().manual_seed(int(_generator(f"views {step}").integers(2**62)))
        pair = torch.cat([views(chosen, generator), views(chosen, generator)])
        first, second = model(to_input(pair)).chunk(2)
        loss = contrastive_loss(first, second)
        loss.backward()  # type: ignore[no-untyped-call]
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.step(PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * fall)
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            save_tensors(
                {f"model/{name}": value for name, value in model.state_dict().items()}
                | {f"optimizer/{name}": value for name, value in optimizer.tensors().items()},
                kept,
                {"step": str(step + 1)},
            )
            seconds = time.process_time() - start
            print(f"step {step + 1}/{steps}, loss {loss.item():.3f}, {seconds:.0f} s", flush=True)
    export(model.network, folder)


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode()])


def _restore(path: Path, model: nn.Module, optimizer: MixedOptimizer) -> int:
    """Take up a checkpoint; returns the steps it has behind it."""
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        step = int(stored.metadata()["step"])

    def part(name: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}

    model.load_state_dict(part("model/"))
    optimizer.restore(part("optimizer/"))
    return step


def export(network: nn.Module, folder: Path) -> None:
    """Write timm's folder: ``config.json`` and float16 ``model.safetensors``."""
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": 0,
        "num_features": network.num_features,
        "model_args": OPTIONS,
        "pretrained_cfg": {
            "input_size": [3, SIDE, SIDE],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": list(IMAGE_MEAN),
            "std": list(IMAGE_STD),
        },
    }
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    save_tensors(half, folder / "model.safetensors", {"format": "pt"})
    text = json.dumps(config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def share_within(features: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the variance of features [n, d] that lies within classes, 0 to 1.

    >>> share_within(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1]))
    0.038...
    """
    features = features.double()
    whole = float((features - features.mean(dim=0)).square().sum())
    parts = [features[labels == label] for label in set(labels.tolist())]
    return sum(float((part - part.mean(dim=0)).square().sum()) for part in parts) / whole


def knn_accuracy(
    bank: torch.Tensor, bank_labels: torch.Tensor, features: torch.Tensor, labels: torch.Tensor
) -> float:
    """Share of features [n, d] that their 20 nearest of ``bank`` [m, d], by cosine, vote right."""
    alike = functional.normalize(features, dim=-1) @ functional.normalize(bank, dim=-1).T
    nearest = bank_labels[alike.topk(NEIGHBOURS, dim=1).indices]
    votes = functional.one_hot(nearest, len(world.CLASS_NAMES)).sum(dim=1)
    return float((votes.argmax(dim=1) == labels).double().mean())


def measure(models: Path = MODELS) -> dict[str, dict[str, float]]:
    """``knn_accuracy`` and ``share_within`` by encoder: the bundled ones, and ImageNet's.

    Both are of split ``reference``; neighbours are looked for in split ``judge``. Labels are read
    here alone.
    """
    encoders = {
        "class-blind judge": ("timm", str(models / "ssl_judge"), 1),
        "judge": ("open_clip", str(models / "judge"), 1),
        "scorer": ("open_clip", str(models / "scorer"), 1),
        # It takes 23 ms an image.
        "EfficientNet-Lite0 at 128, every fifth image": ("efficientnet", None, 5),
    }
    splits = [world.load_split(split) for split in ("judge", "reference")]
    found = {}
    for name, (kind, model, every) in encoders.items():
        encoder = load_encoder(kind, EncoderOptions(model=model))
        bank, references = (
            encoder.encode_images(torch.from_numpy(world.to_rgb(grey[::every])))
            for grey, _ in splits
        )
        of_bank, of_references = (torch.from_numpy(labels[::every]) for _, labels in splits)
        found[name] = {
            "knn_accuracy": knn_accuracy(bank, of_bank, references, of_references),
            "share_within": share_within(references, of_references),
        }
    return found


def main() -> None:
    """Train, or measure, from the command line."""
    parser = argparse.ArgumentParser(description="the bundled class-blind judge")
    parser.add_argument("--measure", action="store_true", help="only measure")
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=WORK, help="checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.measure:
        train(given.output, given.work)
        return
    for name, values in measure().items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))


if __name__ == "__main__":
    main()
