"""The ceiling: clean images of the ground truth at random. A cheat by design, for benchmarks."""

from __future__ import annotations

import torch

from coti.core.errors import ConfigError
from coti.selection.protocol import PoolView
from coti.selection.random_images import RandomImages, at_random
from coti.settings import RunSettings

__all__ = ["Oracle"]


class Oracle(RandomImages):
    """``baseline_images`` clean ones at once; the only strategy that reads the ground truth."""

    growths = ("at_once",)
    sees_ground_truth = True

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "oracle"

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Clean candidates at random."""
        if pool.ground_truth is None:
            raise ConfigError("strategy oracle needs the pool's ground truth: set `ground_truth`.")
        clean = torch.tensor([pool.ground_truth.get(name, False) for name in pool.sources])
        return at_random((pool.candidates & clean).nonzero().squeeze(1), pool, self.name)
