"""Rated images that every concept has: its seeds, and graded degradations of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from coti.core.determinism import deterministic
from coti.scores.degradations import graded_copies

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


def graded_degradations(seeds: torch.Tensor, seed: int) -> RatedImages:
    """The seeds, rated 10, and degradations of each, as many of one as of another."""
    worse, ratings = graded_copies(seeds, seed)
    return RatedImages(
        torch.cat([seeds, worse]),
        torch.cat([torch.full((len(seeds),), 10.0), ratings]),
        torch.cat([seeds, seeds.repeat_interleave(len(worse) // len(seeds), dim=0)]),
    )


@deterministic()
def fit_head(
    model: torch.nn.Module,  # its parameters are trained; left in evaluation mode, frozen
    predict: Callable[[torch.Tensor], torch.Tensor],  # rows, int64 [b], to ratings, float [b]
    ratings: torch.Tensor,  # float32 [n]
    steps: int,
    seed: int,  # of the batches and the dropout
) -> None:
    """Fit what ``predict(rows)`` depends on to the ratings by mean squared error, in place."""
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
