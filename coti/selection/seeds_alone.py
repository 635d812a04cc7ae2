"""Textual inversion on the seeds alone: what a user has without any selection."""

from __future__ import annotations

import torch

from coti.selection.protocol import PoolView
from coti.selection.random_images import RandomImages
from coti.settings import RunSettings

__all__ = ["SeedsAlone"]


class SeedsAlone(RandomImages):
    """Adds nothing."""

    growths = ("at_once",)
    selects = False

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "seeds"

    def least_images(self, settings: RunSettings) -> int:
        """None."""
        return 0

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Nothing."""
        return torch.empty(0, dtype=torch.int64)
