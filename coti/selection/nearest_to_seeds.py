"""What is the most like the seeds."""

from __future__ import annotations

import torch

from coti.encoders.protocol import normalized
from coti.selection.protocol import PoolView
from coti.selection.text_top import TextTop
from coti.settings import RunSettings

__all__ = ["NearestToSeeds"]


class NearestToSeeds(TextTop):
    """The ``baseline_images`` nearest to the seeds' mean at once, or B a cycle."""

    def __init__(self, name: str = "nearest_to_seeds") -> None:
        """``name``: the strategy's."""
        super().__init__(name)

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "nearest to the seeds"

    def score(self, pool: PoolView) -> torch.Tensor:
        """Cosine to the mean of the seeds' features."""
        return pool.features["pool"] @ normalized(pool.features["seeds"].mean(dim=0))
