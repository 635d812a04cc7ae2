"""VLAD: retrieval by aggregated local descriptors (Jégou et al. 2010; Arandjelović 2013)."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

__all__ = ["aggregate", "local_descriptors", "vlad_similarity"]

_SIDE, _CELL, _CELLS, _BINS = 64, 4, 4, 8
_WORDS = 16
_EXAMPLES = 20_000


def local_descriptors(images: torch.Tensor) -> torch.Tensor:
    """Dense RootSIFT: histograms of gradient directions of 4x4 cells of 4 pixels, at every cell.

    uint8 [n, 3, h, w] to float32 [n, p, 128], each of length 1 (0 where there is no gradient).
    """
    grey = functional.interpolate(images.float().mean(1, keepdim=True), (_SIDE, _SIDE)) / 255
    dx = functional.pad(grey, (1, 1, 0, 0), mode="replicate")
    dy = functional.pad(grey, (0, 0, 1, 1), mode="replicate")
    dx, dy = dx[..., 2:] - dx[..., :-2], dy[..., 2:, :] - dy[..., :-2, :]
    turn = torch.atan2(dy, dx) / (2 * math.pi) * _BINS
    distance = (turn - torch.arange(_BINS).view(1, _BINS, 1, 1)).remainder(_BINS)
    share = (1 - torch.minimum(distance, _BINS - distance)).clamp(min=0)
    cells = functional.avg_pool2d(share * torch.hypot(dx, dy), _CELL)
    windows = functional.unfold(cells, _CELLS).transpose(1, 2)
    return functional.normalize(windows, p=1, dim=2).sqrt()


def aggregate(descriptors: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Sums of residuals to the nearest visual word, normalised word by word and as a whole.

    Descriptors [n, p, d] and words [k, d] to [n, k·d], of length 1.
    """
    nearest = functional.one_hot(torch.cdist(descriptors, words).argmin(dim=2), len(words))
    which = nearest.to(descriptors.dtype)
    residuals = which.transpose(1, 2) @ descriptors - which.sum(dim=1)[..., None] * words
    return functional.normalize(functional.normalize(residuals, dim=2).flatten(1), dim=1)


def _visual_words(descriptors: torch.Tensor, seed: int) -> torch.Tensor:
    """k-means (Lloyd) of descriptors [m, d]: [k, d]."""
    generator = torch.Generator().manual_seed(seed)
    some = descriptors[torch.randperm(len(descriptors), generator=generator)[:_EXAMPLES]]
    words = some[:_WORDS].clone()
    for _ in range(20):
        nearest = torch.cdist(some, words).argmin(dim=1)
        which = functional.one_hot(nearest, len(words)).to(some.dtype)
        count = which.sum(dim=0)[:, None]
        words = torch.where(count > 0, which.T @ some / count.clamp(min=1), words)
    return words


def vlad_similarity(pool: torch.Tensor, seeds: torch.Tensor, seed: int) -> torch.Tensor:
    """Mean cosine of the pool's VLAD vectors to the seeds': float32 [n], −1 to 1.

    Both are uint8 [n, 3, h, w]; the visual words are the pool's own, by k-means from ``seed``.
    """
    found = local_descriptors(pool)
    words = _visual_words(found.flatten(0, 1), seed)
    return (aggregate(found, words) @ aggregate(local_descriptors(seeds), words).T).mean(dim=1)
