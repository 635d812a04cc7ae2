"""TI (FULL): the whole pool."""

from __future__ import annotations

import torch

from coti.selection.protocol import PoolView
from coti.selection.random_images import RandomImages
from coti.settings import RunSettings

__all__ = ["WholePool"]


class WholePool(RandomImages):
    """All candidates at once."""

    growths = ("at_once",)

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "full"

    def least_images(self, settings: RunSettings) -> int:
        """None."""
        return 0

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """All of them, in the pool's order."""
        return pool.candidates.nonzero().squeeze(1)
