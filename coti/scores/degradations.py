"""Graded degradations of good images: what bad images on the web have in common.

Each one works on images of any size; severity 1 is barely visible, 5 spoils the image.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["DEGRADATIONS", "MAX_SEVERITY", "degrade", "graded_copies"]

MAX_SEVERITY = 5
"""Severities are 1 to this."""

_Random = random.Random
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%!"


def _blur(image: Image.Image, severity: int, _: _Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(min(image.size) * 0.012 * severity))


def _low_resolution(image: Image.Image, severity: int, rng: _Random) -> Image.Image:
    factor = (1.5, 2.0, 2.8, 4.0, 5.5)[severity - 1]
    small = tuple(max(1, round(side / factor)) for side in image.size)
    how = rng.choice((Image.Resampling.NEAREST, Image.Resampling.BILINEAR))
    return image.resize((small[0], small[1]), Image.Resampling.BOX).resize(image.size, how)


def _noise(image: Image.Image, severity: int, rng: _Random) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    numbers = np.random.default_rng(rng.getrandbits(32))
    # One field for all channels or one each: sensor noise comes in both.
    shape = pixels.shape if rng.random() < 0.5 else (*pixels.shape[:2], 1)
    noisy = pixels + numbers.normal(0.0, 14.0 * severity, shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _occlusion(image: Image.Image, severity: int, rng: _Random) -> Image.Image:
    image = image.copy()
    width, height = image.size
    side = (0.2, 0.3, 0.4, 0.5, 0.62)[severity - 1]
    aspect = rng.uniform(0.8, 1.25)
    box_width, box_height = int(width * side * aspect), int(height * side / aspect)
    left = rng.randint(0, max(0, width - box_width))
    top = rng.randint(0, max(0, height - box_height))
    ink = tuple([rng.randrange(256)] * 3 if rng.random() < 0.5 else rng.choices(range(256), k=3))
    ImageDraw.Draw(image).rectangle((left, top, left + box_width, top + box_height), fill=ink)
    return image


def _text(image: Image.Image, severity: int, rng: _Random) -> Image.Image:
    width, height = image.size
    # The built-in font has one size, so the writing is drawn small and enlarged.
    line = max(8, round(height * (0.16 + 0.03 * severity)))
    image = image.copy()
    for _ in range(severity):
        letters = "".join(rng.choices(_LETTERS, k=rng.randint(3, 8)))
        stencil = Image.new("L", (7 * len(letters), 11))
        ImageDraw.Draw(stencil).text((0, 0), letters, fill=255)
        stencil = stencil.resize((max(1, line * stencil.width // 11), line))
        place = (
            rng.randint(-line, max(0, width - line)),
            rng.randint(0, max(0, height - line)),
        )
        image.paste((rng.choice((0, 130, 255)),) * 3, place, stencil)
    return image


def _low_contrast(image: Image.Image, severity: int, rng: _Random) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    contrast = (0.75, 0.58, 0.42, 0.28, 0.16)[severity - 1]
    level = pixels.mean() + rng.uniform(-8.0, 12.0) * severity
    faded = (pixels - pixels.mean()) * contrast + level
    return Image.fromarray(faded.clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, severity: int, _: _Random) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=(30, 18, 11, 6, 2)[severity - 1])
    return Image.open(stream, formats=("JPEG",)).convert("RGB")


def _crop(image: Image.Image, severity: int, rng: _Random) -> Image.Image:
    width, height = image.size
    keep = (0.86, 0.75, 0.65, 0.55, 0.45)[severity - 1]
    new_width, new_height = max(1, int(width * keep)), max(1, int(height * keep))
    left, top = rng.randint(0, width - new_width), rng.randint(0, height - new_height)
    part = image.crop((left, top, left + new_width, top + new_height))
    return part.resize(image.size, Image.Resampling.BICUBIC)


DEGRADATIONS: dict[str, Callable[[Image.Image, int, _Random], Image.Image]] = {
    "blur": _blur,
    "low_resolution": _low_resolution,
    "noise": _noise,
    "occlusion": _occlusion,
    "text": _text,
    "low_contrast": _low_contrast,
    "jpeg": _jpeg,
    "crop": _crop,
}
"""Name to what is done to an RGB image at a severity."""


def degrade(
    images: torch.Tensor,  # uint8 [n, 3, h, w]
    kinds: Sequence[str],  # n names of DEGRADATIONS
    severities: Sequence[int],  # n, 1 to 5
    seed: int,  # of places, colours and noise
) -> torch.Tensor:
    """Degrade each image in its own way: uint8 [n, 3, h, w]."""
    rng = random.Random(seed)
    out = torch.empty_like(images)
    for row, (kind, severity) in enumerate(zip(kinds, severities, strict=True)):
        image = Image.fromarray(images[row].permute(1, 2, 0).contiguous().numpy())
        changed = DEGRADATIONS[kind](image, severity, rng)
        out[row] = torch.from_numpy(np.array(changed)).permute(2, 0, 1)
    return out


def graded_copies(
    images: torch.Tensor, seed: int, variants: int = 16
) -> tuple[torch.Tensor, torch.Tensor]:
    """``variants`` degraded copies of each of n good images, and their ratings.

    Kinds and severities take turns; a rating falls from 10 by 1.8 a severity.

    Returns:
        uint8 [n·variants, 3, h, w] and float32 [n·variants].
    """
    names = list(DEGRADATIONS)
    copies = images.repeat_interleave(variants, dim=0)
    # Counting through kinds and, out of step with them, severities covers all pairs evenly.
    kinds = [names[i % len(names)] for i in range(len(copies))]
    severities = [(i + i // len(names)) % MAX_SEVERITY + 1 for i in range(len(copies))]
    ratings = torch.tensor([10.0 - 1.8 * severity for severity in severities])
    return degrade(copies, kinds, severities, seed), ratings
