"""What is the most like the seeds."""

from __future__ import annotations

import torch

from coti.encoders.protocol import normalized
from coti.selection.protocol import PoolView
from coti.selection.top_scored import TopScored
from coti.settings import RunSettings

__all__ = ["NearestToSeeds"]


class NearestToSeeds(TopScored):
    """The images nearest to the seeds' mean."""

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "nearest to the seeds"

    def score(self, pool: PoolView) -> torch.Tensor:
        """Cosine to the mean of the seeds' features."""
        return pool.features["pool"] @ normalized(pool.features["seeds"].mean(dim=0))
