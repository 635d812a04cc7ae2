"""Images in batches, resized on tensors as image-text models want them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from coti.core.determinism import deterministic
from coti.core.errors import ModelError
from coti.core.out_of_memory import out_of_memory_at
from coti.core.progress import progress_bar
from coti.core.work import working

__all__ = ["batches", "fit", "looking_at"]


def batches(images: torch.Tensor, batch_size: int, what: str) -> Iterator[torch.Tensor]:
    """Slices of uint8 [n, 3, h, w]; a bar that says ``what`` on a terminal.

    Raises:
        ModelError: they are of another dtype or shape.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise ModelError(
            f"images must be uint8 [n, 3, h, w], got {images.dtype} {list(images.shape)}."
        )
    starts = range(0, len(images), batch_size)
    for first in progress_bar(starts, what=what, unit=" batches", shown=len(starts) > 1):
        batch = images[first : first + batch_size]
        with working(what, len(batch)):
            yield batch


@contextmanager
def looking_at(name: str, batch_size: int, what: str = "images") -> Iterator[None]:
    """Deterministic inside; out of memory: say which setting to turn.

    Activations are in proportion to it.
    """
    remedy = (
        "lower its batch_size, in scorer, concept_score or evaluation (try "
        f"{max(1, batch_size // 2)}, which takes half as much beside the weights)"
    )
    doing = f"looking at {batch_size} {what} at once with {name}"
    with deterministic(), out_of_memory_at(ModelError, doing, remedy):
        yield


def fit(pixels: torch.Tensor, side: int, mode: str, fill: float) -> torch.Tensor:
    """Resize float [n, 3, h, w], 0 to 255, to a square: open_clip's shortest, longest, squash."""
    height, width = pixels.shape[-2:]
    if (height, width) == (side, side):
        return pixels
    if mode == "squash":
        return _resize(pixels, side, side)
    scale = side / (max(height, width) if mode == "longest" else min(height, width))
    # Truncated as torchvision does for the longer side.
    new_height = side if height * scale == side else max(1, int(height * scale))
    new_width = side if width * scale == side else max(1, int(width * scale))
    pixels = _resize(pixels, new_height, new_width)
    if mode == "longest":
        top, left = (side - new_height) // 2, (side - new_width) // 2
        padding = (left, side - new_width - left, top, side - new_height - top)
        return functional.pad(pixels, padding, value=fill)
    top, left = round((new_height - side) / 2), round((new_width - side) / 2)
    return pixels[..., top : top + side, left : left + side]


def _resize(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    resized = functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    return resized.clamp(0, 255).round()
