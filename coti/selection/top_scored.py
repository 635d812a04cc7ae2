"""What strategies share that add all images at once or B a cycle: by default a score's top."""

from __future__ import annotations

from typing import Literal

import torch

from coti.selection.batch import select_batch
from coti.selection.protocol import PoolView
from coti.settings import RunSettings

__all__ = ["TopScored"]


class TopScored:
    """``baseline_images`` at once, or B a cycle: by default those of the highest score.

    A ``label`` and a ``score`` make it a strategy. One that draws from what its score lets pass has
    a ``pick`` of its own; one whose score does not stay over the cycles says so by ``fixed``.
    """

    growths: tuple[Literal["cycles", "at_once"], ...] = ("at_once", "cycles")
    selects = True
    fixed = True
    sees_ground_truth = False
    accepted_from: float | None = None
    """Score from which it takes an image for right; none: its score only ranks."""

    def __init__(self, name: str) -> None:
        """``name``: the strategy's."""
        self.name = name

    def least_images(self, settings: RunSettings) -> int:
        """A batch, or one: a smaller pool is taken whole."""
        return settings.selection.batch if settings.growth == "cycles" else 1

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """The best of the score."""
        return select_batch(pool.columns["score"], pool.candidates, pool.wanted)
