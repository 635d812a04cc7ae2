"""Train the bundled scorer and judge: small CLIP models in open_clip's own folder format.

``python -m assets.build.clip_models scorer`` and ``... judge`` write
``assets/models/<role>/open_clip_config.json`` and ``open_clip_model.safetensors`` (float16),
which load like any other model of open_clip::

    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:assets/models/scorer")
    tokenizer = open_clip.get_tokenizer("local-dir:assets/models/scorer")

The two share nothing but the recipe: the scorer (a ModifiedResNet, as in CLIP) sees split
``base``, the judge (a ResNet) split ``judge``, so that metrics do not grade their own teacher.

Training is CLIP's contrast of a batch against its captions (Radford et al. 2021), with equal
captions of a batch merged into one. A caption names the thing and, for an image that was
degraded on purpose, how it looks ("a very blurry photo of a coat"): the words make the image
features carry quality, on which the aesthetic head stands.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from assets.build import world
from assets.build.clip_captions import ANY_QUALITY, CLEAN, caption, captions_of_batch
from assets.build.degrade import DEGRADATIONS, MAX_SEVERITY, degrade

MODELS = Path("assets/models")
IMAGE_MEAN = (0.25, 0.25, 0.25)
IMAGE_STD = (0.33, 0.33, 0.33)
AVERAGING = 0.98
"""Part of the averaged weights that a step keeps; the averaged ones are written."""


@dataclass(frozen=True)
class Recipe:
    """How one of the two models is built and trained."""

    split: str
    """Split of the world that it is trained on."""
    vision: dict[str, Any]
    """``vision_cfg`` of open_clip."""
    embed_dim: int
    """Width of the image features."""
    epochs: int
    degraded: float
    """Degraded images in an epoch, as a part of the clean ones."""
    copies: int
    """Degraded copies made of each image; an epoch takes others than the last one."""
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    erase: float = 0.0
    """Chance that a box of a clean image is erased, against overfitting on few images."""
    seed: int = 0
    text: dict[str, Any] = field(
        default_factory=lambda: {
            "context_length": 32,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 2,
        }
    )

    def config(self) -> dict[str, Any]:
        """What ``open_clip_config.json`` holds."""
        size = self.vision["image_size"]
        return {
            "model_cfg": {
                "embed_dim": self.embed_dim,
                "vision_cfg": self.vision,
                "text_cfg": self.text,
            },
            "preprocess_cfg": {
                "size": [size, size],
                "mode": "RGB",
                "mean": list(IMAGE_MEAN),
                "std": list(IMAGE_STD),
                "interpolation": "bicubic",
                "resize_mode": "shortest",
                "fill_color": 0,
            },
        }


RECIPES: dict[str, Recipe] = {
    "scorer": Recipe(
        split="base",
        vision={"layers": [1, 1, 1, 1], "width": 16, "image_size": 64},
        embed_dim=128,
        epochs=5,
        degraded=0.5,
        copies=2,
    ),
    "judge": Recipe(
        split="judge",
        vision={
            "timm_model_name": "test_resnet",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 64,
        },
        embed_dim=64,
        epochs=24,
        degraded=0.25,
        copies=4,
        learning_rate=3e-3,
        label_smoothing=0.1,
        erase=0.3,
    ),
}


def resize(pil_images: npt.NDArray[np.uint8], size: int) -> torch.Tensor:
    """Grey uint8 [n, h, w] as open_clip's preprocessing resizes it: uint8 [n, size, size]."""
    if pil_images.shape[-1] == size:
        return torch.from_numpy(pil_images.copy())
    out = np.empty((len(pil_images), size, size), np.uint8)
    for row, pil_image in enumerate(pil_images):
        image = Image.fromarray(pil_image)
        out[row] = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(out)


def degraded_copies(
    images: npt.NDArray[np.uint8], seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One degraded copy of each image [n, h, w], with its kind (index) and severity (1 to 5)."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(DEGRADATIONS), len(images))
    severities = rng.integers(1, MAX_SEVERITY + 1, len(images))
    copies = np.stack(
        [
            degrade(image, DEGRADATIONS[kind], int(severity), rng)
            for image, kind, severity in zip(images, kinds, severities, strict=True)
        ]
    )
    return copies, kinds, severities


def to_input(images: torch.Tensor) -> torch.Tensor:
    """Grey uint8 [n, h, w] to the normalised float32 [n, 3, h, w] that the image tower takes."""
    grey = (images.float() / 255 - IMAGE_MEAN[0]) / IMAGE_STD[0]
    return grey[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def augment(images: torch.Tensor, erase: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the images, move each by up to a sixteenth of its side, erase boxes."""
    count, side, _ = images.shape
    mirrored = torch.rand(count, generator=generator) < 0.5
    images = torch.where(mirrored[:, None, None], images.flip(-1), images)
    reach = side // 16
    moves = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
    places = torch.arange(side)
    rows = (places + moves[0]).clamp(0, side - 1)  # [n, side]
    columns = (places + moves[1]).clamp(0, side - 1)
    images = images[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    if erase:
        erased = torch.rand(count, generator=generator) < erase
        corner = torch.randint(0, side, (2, count, 1), generator=generator)
        length = torch.randint(side // 8, side // 3, (2, count, 1), generator=generator)
        inside = (places >= corner) & (places < corner + length)  # [2, n, side]
        box = inside[0][:, :, None] & inside[1][:, None, :] & erased[:, None, None]
        ink = torch.randint(0, 256, (count, 1, 1), generator=generator).to(torch.uint8)
        images = torch.where(box, ink, images)
    return images


class _Album:
    """The training images of a recipe: clean ones, and copies of each, degraded on purpose."""

    def __init__(self, recipe: Recipe) -> None:
        grey, labels = world.load_split(recipe.split)
        size = recipe.vision["image_size"]
        self.recipe = recipe
        self.clean = resize(grey, size)
        self.labels = torch.from_numpy(labels)
        self.copies = []
        for copy in range(recipe.copies):
            images, kinds, severities = degraded_copies(grey, seed=1000 + recipe.seed + copy)
            self.copies.append(
                (resize(images, size), torch.from_numpy(kinds), torch.from_numpy(severities))
            )
        self.steps = int((1 + recipe.degraded) * len(grey)) // recipe.batch
        """Batches of an epoch."""

    def epoch(self, number: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, ...]]:
        """Batches: images uint8 [b, h, w], labels, kinds and severities int64 [b]."""
        count, batch = len(self.clean), self.recipe.batch
        copies, kinds, severities = self.copies[number % len(self.copies)]
        some = torch.randperm(count, generator=generator)[: int(self.recipe.degraded * count)]
        every = torch.cat([torch.arange(count), some + count])
        every = every[torch.randperm(len(every), generator=generator)]
        for step in range(self.steps):
            rows = every[step * batch : (step + 1) * batch]
            row, is_worse = rows % count, rows >= count
            images = torch.where(is_worse[:, None, None], copies[row], self.clean[row])
            yield (
                augment(images, self.recipe.erase, generator),
                self.labels[row],
                torch.where(is_worse, kinds[row], CLEAN),
                torch.where(is_worse, severities[row], 0),
            )


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW that decays matrices and kernels, not biases, norms or word vectors."""
    named = list(model.named_parameters())
    decayed = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
    others = [p for name, p in named if p.ndim < 2 or "embedding" in name]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, recipe.learning_rate, betas=(0.9, 0.98))


def train(role: str, folder: Path, epochs: int | None = None) -> float:
    """Train one of the two models, write it to ``folder``, return its reference accuracy."""
    import open_clip

    recipe = RECIPES[role]
    epochs = epochs or recipe.epochs
    torch.manual_seed(recipe.seed)
    rng = random.Random(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    print(f"{role}: images of split {recipe.split}", flush=True)
    album = _Album(recipe)
    model = open_clip.CLIP(recipe.embed_dim, vision_cfg=recipe.vision, text_cfg=recipe.text)
    model = model.to(memory_format=torch.channels_last)
    averaging = get_ema_multi_avg_fn(AVERAGING)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    tokenizer = open_clip.SimpleTokenizer(context_length=recipe.text["context_length"])
    optimizer = _optimizer(model, recipe)
    steps = epochs * album.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps)),
    )
    read = torch.zeros(recipe.text["vocab_size"], dtype=torch.bool)  # words met in captions
    step, accuracy, start = 0, 0.0, time.monotonic()
    for epoch in range(epochs):
        for images, labels, kinds, severities in album.epoch(epoch, generator):
            texts, own = captions_of_batch(labels, kinds, severities, rng)
            plain = [caption(n, ANY_QUALITY, 0, rng) for n in range(len(world.CLASS_NAMES))]
            tokens = tokenizer(texts + plain)
            read[tokens.flatten()] = True
            with torch.autocast("cpu", torch.bfloat16):
                features = model.encode_image(to_input(images))
            image = functional.normalize(features.float(), dim=-1)
            text = functional.normalize(model.encode_text(tokens), dim=-1)
            logits = model.logit_scale.exp() * image @ text.T
            smoothing = recipe.label_smoothing
            # Thing and quality together, then the thing alone, which every image shows.
            loss = functional.cross_entropy(
                logits[:, : len(texts)], own, label_smoothing=smoothing
            ) + functional.cross_entropy(logits[:, len(texts) :], labels, label_smoothing=smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            averaged.update_parameters(model)
            step += 1
            if step % 50 == 0:
                seconds = time.monotonic() - start
                line = f"{role}: step {step}/{steps}, loss {loss.item():.3f}, {seconds:.0f} s"
                print(line, flush=True)
        save(averaged.module, recipe, read, folder)
        accuracy = reference_accuracy(folder, *reference_sample(epoch + 1 == epochs))
        print(f"{role}: epoch {epoch + 1}/{epochs}, accuracy {accuracy:.4f}", flush=True)
    return accuracy


def save(model: nn.Module, recipe: Recipe, read: torch.Tensor, folder: Path) -> None:
    """Write open_clip's folder. Word vectors that were never read are 0, not random numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    state["token_embedding.weight"][~read] = 0
    half = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
        if name != "attn_mask"
    }
    weights = folder / "open_clip_model.safetensors"
    save_file(half, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    text = json.dumps(recipe.config(), indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")


def reference_sample(
    everything: bool = True,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Split ``reference``, or a tenth of it for a look while training."""
    images, labels = world.load_split("reference")
    return (images, labels) if everything else (images[::10], labels[::10])


@torch.inference_mode()
def encode(folder: Path, images: npt.NDArray[np.uint8], batch: int = 500) -> torch.Tensor:
    """``encode_image`` of a model folder, not normalised, for uint8 [n, h, w]: [n, embed_dim]."""
    model, size = load(folder)
    parts = []
    for first in range(0, len(images), batch):
        part = to_input(resize(images[first : first + batch], size))
        parts.append(model.encode_image(part).float())
    return torch.cat(parts)


def load(folder: Path) -> tuple[Any, int]:
    """The model of a folder in float32, ready to be used, and the side of its images."""
    import open_clip

    model = open_clip.create_model(f"local-dir:{folder}").eval()
    side = open_clip.get_model_preprocess_cfg(model)["size"]
    return model.to(memory_format=torch.channels_last), side if isinstance(side, int) else side[0]


@torch.inference_mode()
def reference_accuracy(
    folder: Path,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    names: Sequence[str] = world.CLASS_NAMES,
) -> float:
    """Part of the images whose nearest caption of "a photo of a {name}" is the right one."""
    import open_clip

    model, _ = load(folder)
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")([f"a photo of a {n}" for n in names])
    text = functional.normalize(model.encode_text(tokens), dim=-1)
    nearest = (encode(folder, images) @ text.T).argmax(dim=-1).numpy()
    return float((nearest == labels).mean())


def main() -> None:
    """Train one of the two models from the command line."""
    parser = argparse.ArgumentParser(description="train a bundled open_clip model")
    parser.add_argument("role", choices=sorted(RECIPES))
    parser.add_argument("--output", type=Path, help="default: assets/models/<role>")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    folder = given.output or MODELS / given.role
    train(given.role, folder, given.epochs)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{given.role}: {folder}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
