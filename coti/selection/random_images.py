"""TI (RAND): pool images at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from coti.core.errors import ConfigError
from coti.core.seeding import generator
from coti.selection.protocol import PoolView
from coti.settings import RunSettings

__all__ = ["RandomImages", "at_random"]


class RandomImages:
    """B a cycle, or ``baseline_images`` at once."""

    growths: tuple[Literal["cycles", "at_once"], ...] = ("at_once", "cycles")
    selects = True
    fixed = True
    sees_ground_truth = False

    def __init__(self, name: str = "random") -> None:
        """``name``: the strategy's, part of its random stream."""
        self.name = name

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "Random"

    def least_images(self, settings: RunSettings) -> int:
        """A batch, or all that are added at once."""
        return settings.selection.batch if settings.growth == "cycles" else settings.baseline_images

    def score(self, pool: PoolView) -> torch.Tensor:
        """None is better than another: S_int, for the reader of the table."""
        return pool.columns["s_int"]

    def gates(self, pool: PoolView) -> Mapping[str, torch.Tensor]:
        """None: any image may be drawn."""
        return {}

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Candidates at random, in random order."""
        places = pool.candidates.nonzero().squeeze(1)
        if pool.settings.growth == "at_once":
            return at_random(places, pool, self.name)
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
        return places[order[: pool.wanted]]


def at_random(places: torch.Tensor, pool: PoolView, name: str) -> torch.Tensor:
    """As many of the places as are wanted at once, in random order.

    Raises:
        ConfigError: there are fewer.
    """
    count = pool.wanted
    if len(places) < count:
        raise ConfigError(
            f"strategy {name} is to add {count} images and the pool has {len(places)} for it: "
            "lower `baseline_images`, or give a larger pool."
        )
    order = torch.randperm(len(places), generator=generator(pool.settings.seed, "at once", name))
    return places[order[:count]]
