"""What a selection strategy is, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.settings import RunSettings

__all__ = ["PoolView", "Strategy"]


@dataclass(frozen=True)
class PoolView:
    """The pool as a strategy sees it before a selection; all in the pool's order, n images."""

    settings: RunSettings
    features: TensorBundle
    """Of :func:`coti.scores.scoring.embed_images`."""
    candidates: torch.Tensor
    """bool [n]: images that are not in X_T yet."""
    columns: Mapping[str, torch.Tensor]
    """float32 [n] each, 0 to 10: ``s_aes`` (Eq. 7) and ``s_con`` (Eq. 8); ``s_int`` (Eq. 11), 0 to
    20; after :meth:`Strategy.score` its ``score``, too."""
    cycle: int
    """0 where all images are added at once."""
    sources: Sequence[str] = ()
    """File names."""
    images: Callable[[], torch.Tensor] | None = None
    """Reads the pool's images, uint8 [n, 3, h, w]."""
    seed_images: torch.Tensor | None = None
    """uint8 [s, 3, h, w]."""
    efficientnet: Callable[[], EfficientNetLite0] | None = None
    """Loads the reference judge, which some baselines stand on."""
    ground_truth: Mapping[str, bool] | None = None
    """File name to whether the image is right; for ``oracle`` alone."""


class Strategy(Protocol):
    """Which images join X_T. To add one: a file here and a line in ``STRATEGIES``."""

    at_once: bool
    """Whether all images are added before the only cycle, by itself; a loop otherwise."""
    selects: bool
    """Whether it ever adds an image."""
    fixed: bool
    """Whether its score stays the same over the cycles, so that it is computed once."""

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""

    def score(self, pool: PoolView) -> torch.Tensor:
        """What it ranks by: float32 [n], more is better.

        Raises:
            ConfigError: something it needs was not given; says what.
        """

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Images to add, best first: int64 [m] into the pool, whose columns hold ``score``.

        ``seed`` is of whatever is random in it, another one each cycle.
        """
