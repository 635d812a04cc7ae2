"""What strategies share that take the best of a score that stays."""

from __future__ import annotations

from typing import Literal

import torch

from coti.selection.batch import select_batch
from coti.selection.protocol import PoolView
from coti.settings import RunSettings

__all__ = ["TopScored"]


class TopScored:
    """The ``baseline_images`` of the highest score at once, or B a cycle; a ``label`` and a
    ``score`` make it a strategy."""

    growths: tuple[Literal["cycles", "at_once"], ...] = ("at_once", "cycles")
    selects = True
    fixed = True
    sees_ground_truth = False

    def __init__(self, name: str) -> None:
        """``name``: the strategy's."""
        self.name = name

    def least_images(self, settings: RunSettings) -> int:
        """A batch, or one: a smaller pool is taken whole."""
        return settings.selection.batch if settings.growth == "cycles" else 1

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """The best of the score."""
        return select_batch(pool.columns["score"], pool.candidates, pool.wanted)
