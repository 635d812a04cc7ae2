"""Rated images that every concept has: its seeds, and graded degradations of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from coti.scores.degradations import DEGRADATIONS, MAX_SEVERITY, degrade

__all__ = ["RatedImages", "fit_head", "graded_degradations"]


@dataclass(frozen=True)
class RatedImages:
    """Images with ratings, and which undegraded image each was made from."""

    images: torch.Tensor
    """uint8 [n, 3, h, w]."""
    ratings: torch.Tensor
    """float32 [n], 1 (worst) to 10."""
    originals: torch.Tensor
    """uint8 [n, 3, h, w]."""


def graded_degradations(seeds: torch.Tensor, seed: int, variants: int = 16) -> RatedImages:
    """The seeds, rated 10, and ``variants`` degradations of each; 1.8 less a severity."""
    kinds = list(DEGRADATIONS)
    copies = seeds.repeat_interleave(variants, dim=0)
    chosen = [kinds[i % len(kinds)] for i in range(len(copies))]
    severities = [(i + i // len(kinds)) % MAX_SEVERITY + 1 for i in range(len(copies))]
    worse = degrade(copies, chosen, severities, seed)
    ratings = torch.tensor([10.0] * len(seeds) + [10.0 - 1.8 * each for each in severities])
    return RatedImages(torch.cat([seeds, worse]), ratings, torch.cat([seeds, copies]))


def fit_head(
    model: torch.nn.Module,
    predict: Callable[[torch.Tensor], torch.Tensor],
    ratings: torch.Tensor,
    steps: int,
    seed: int,
) -> None:
    """Fit what ``predict(rows)`` depends on to the ratings by mean squared error, in place.

    Args:
        model: its parameters are trained; left in evaluation mode, frozen.
        predict: rows, int64 [b], to predicted ratings, float [b].
        ratings: float32 [n].
        steps: optimizer steps.
        seed: of the batches and the dropout.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            rows = torch.randint(len(ratings), (64,))
            loss = (predict(rows) - ratings[rows]).square().mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    model.eval().requires_grad_(False)
