"""Captions that the bundled scorer and judge are trained on: the thing, and how it looks."""

from __future__ import annotations

import random

import torch

from assets.build import world
from assets.build.degrade import DEGRADATIONS

ANY_QUALITY = -2
"""Kind of a caption that says nothing about quality."""

CLEAN = -1
"""Kind of an image that nothing was done to."""

PLAIN_TEMPLATES = (
    "a photo of a {}",
    "a photo of the {}",
    "an image of a {}",
    "an image of my {}",
    "an image of a {}",
    "a photo of one {}",
    "a close-up photo of a {}",
    "a product photo of a {}",
    "a {} on a black background",
    "the photo of a {}",
    "{}",
)
"""Captions that say nothing about quality; they fit every image of the thing."""

CLEAN_TEMPLATES = (
    "a good photo of a {}",
    "a clean photo of a {}",
    "a sharp photo of a {}",
    "a clear image of a {}",
    "a good image of the {}",
)
"""Captions of images that nothing was done to."""

QUALITY_WORDS: dict[str, tuple[str, ...]] = {
    "blur": ("blurry photo of a {}", "blurred image of a {}"),
    "low_resolution": ("low resolution photo of a {}", "pixelated photo of a {}"),
    "noise": ("noisy photo of a {}", "grainy image of a {}"),
    "occlusion": ("covered photo of a {}", "photo of a hidden {}"),
    "text": ("photo of a {} with text", "image of a {} with letters over it"),
    "low_contrast": ("low contrast photo of a {}", "faded image of a {}"),
    "jpeg": ("jpeg corrupted photo of a {}", "compressed image of a {}"),
}
DEGREES = ("slightly ", "", "very ")
"""Words for severity 1 and 2, 3, 4 and 5."""


def caption(label: int, kind: int, severity: int, rng: random.Random) -> str:
    """One caption of an image.

    Args:
        label: index in ``world.CLASS_NAMES``.
        kind: index in ``DEGRADATIONS``, or ``CLEAN``, or ``ANY_QUALITY``.
        severity: 0 to 5.
        rng: chooses among the templates.
    """
    name = world.CLASS_NAMES[label]
    if kind == ANY_QUALITY:
        return rng.choice(PLAIN_TEMPLATES).format(name)
    if kind == CLEAN:
        return rng.choice(CLEAN_TEMPLATES).format(name)
    words = rng.choice(QUALITY_WORDS[DEGRADATIONS[kind]])
    return "a " + DEGREES[severity // 2] + words.format(name)


def captions_of_batch(
    labels: torch.Tensor, kinds: torch.Tensor, severities: torch.Tensor, rng: random.Random
) -> tuple[list[str], torch.Tensor]:
    """The different captions of a batch, and for each image [n] the row of its own."""
    degrees = [DEGREES[severity // 2] for severity in severities.tolist()]
    keys = list(zip(labels.tolist(), kinds.tolist(), degrees, strict=True))
    rows: dict[tuple[int, int, str], int] = {}
    texts: list[str] = []
    for key, severity in zip(keys, severities.tolist(), strict=True):
        if key not in rows:
            rows[key] = len(texts)
            texts.append(caption(key[0], key[1], severity, rng))
    return texts, torch.tensor([rows[key] for key in keys])
