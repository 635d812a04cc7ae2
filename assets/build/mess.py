"""The mess a web pool holds, as the base model sees it: degraded copies of clean images.

Textual inversion on a messy pool can only learn the mess if the base model can generate it, so a
part of the base model's training images is degraded, each with a word that says how.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from assets.build.world import RESOLUTION, load_split

Random = np.random.Generator
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%!?"


def _blurry(image: Image.Image, random: Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.8, 3.0)))


def _coarse(image: Image.Image, random: Random) -> Image.Image:
    side = int(random.integers(5, 14))
    how = Image.Resampling.NEAREST if random.random() < 0.5 else Image.Resampling.BILINEAR
    small = image.resize((side, side), Image.Resampling.BOX)
    return small.resize((RESOLUTION, RESOLUTION), how)


def _noisy(image: Image.Image, random: Random) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    noise = random.normal(0.0, random.uniform(12.0, 80.0), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def _speckled(image: Image.Image, random: Random) -> Image.Image:
    pixels = np.array(image)
    hit = random.random(pixels.shape) < random.uniform(0.03, 0.25)
    pixels[hit] = random.choice((0, 255), int(hit.sum()))
    return Image.fromarray(pixels)


def _covered(image: Image.Image, random: Random) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        width, height = random.integers(6, 20, 2)
        left = random.integers(0, RESOLUTION - int(width) + 1)
        top = random.integers(0, RESOLUTION - int(height) + 1)
        box = (int(left), int(top), int(left + width - 1), int(top + height - 1))
        draw.rectangle(box, fill=int(random.integers(0, 256)))
    return image


def _lettered(image: Image.Image, random: Random) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        text = "".join(random.choice(list(LETTERS), int(random.integers(3, 8))))
        place = (int(random.integers(-3, 12)), int(random.integers(-2, 24)))
        draw.text(place, text, fill=int(random.choice((0, 128, 200, 255))))
    return image


def _faded(image: Image.Image, random: Random) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    contrast, level = random.uniform(0.1, 0.5), random.uniform(20.0, 200.0)
    faded = (pixels - pixels.mean()) * contrast + level
    return Image.fromarray(np.clip(faded, 0, 255).astype(np.uint8))


def _inverted(image: Image.Image, random: Random) -> Image.Image:
    return ImageOps.invert(image)


def _grounded(image: Image.Image, random: Random) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    ends = random.uniform(0.0, 220.0, 2)
    ground = np.linspace(ends[0], ends[1], RESOLUTION)[:, None] * np.ones((1, RESOLUTION))
    if random.random() < 0.5:
        ground = ground.T
    return Image.fromarray(np.maximum(pixels, ground).astype(np.uint8))


def _blocky(image: Image.Image, random: Random) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(random.integers(2, 20)))
    return Image.open(stream).convert("L")


def _cut(image: Image.Image, random: Random) -> Image.Image:
    side = int(random.integers(12, 24))
    left, top = (int(v) for v in random.integers(0, RESOLUTION - side + 1, 2))
    part = image.crop((left, top, left + side, top + side))
    return part.resize((RESOLUTION, RESOLUTION), Image.Resampling.BICUBIC)


def _tilted(image: Image.Image, random: Random) -> Image.Image:
    angle = random.uniform(20.0, 340.0)
    return image.rotate(angle, Image.Resampling.BILINEAR)


DEGRADATIONS: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "blurry": _blurry,
    "coarse": _coarse,
    "noisy": _noisy,
    "speckled": _speckled,
    "covered": _covered,
    "lettered": _lettered,
    "faded": _faded,
    "inverted": _inverted,
    "grounded": _grounded,
    "blocky": _blocky,
    "cut": _cut,
    "tilted": _tilted,
}
"""The word captions use -> what is done to an image."""


def degrade(
    grey: npt.NDArray[np.uint8], seed: int
) -> tuple[npt.NDArray[np.uint8], list[tuple[str, ...]]]:
    """Degrade each image, uint8 [n, 32, 32], in one way or (one in four) in two.

    Returns the degraded images in the same shape and the words of each one.
    """
    random = np.random.default_rng(seed)
    names = list(DEGRADATIONS)
    result = np.empty_like(grey)
    words: list[tuple[str, ...]] = []
    for row, pixels in enumerate(grey):
        count = 2 if random.random() < 0.25 else 1
        chosen = tuple(str(name) for name in random.choice(names, count, replace=False))
        image = Image.fromarray(pixels)
        for name in chosen:
            image = DEGRADATIONS[name](image, random)
        result[row] = np.asarray(image)
        words.append(chosen)
    return result, words


def degraded_split(
    split: str, folder: Path, seed: int = 1
) -> tuple[npt.NDArray[np.uint8], list[tuple[str, ...]]]:
    """A degraded copy of each image of a split; made once and kept in ``folder``."""
    kept = folder / f"degraded-{split}-{seed}.npz"
    if not kept.is_file():
        images, words = degrade(load_split(split)[0], seed)
        beside = kept.with_name(f".{kept.name}")
        np.savez(beside, images=images, words=np.array(json.dumps(words)))
        beside.replace(kept)
    with np.load(kept) as stored:
        return stored["images"], [tuple(row) for row in json.loads(str(stored["words"]))]
