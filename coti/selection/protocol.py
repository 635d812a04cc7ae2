"""What a selection strategy is, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from coti.core.errors import ConfigError
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.settings import RunSettings

__all__ = ["PoolView", "Strategy"]


@dataclass(frozen=True)
class PoolView:
    """The pool as a strategy sees it before a selection; all in the pool's order, n images."""

    settings: RunSettings
    """With the ``growth`` that holds, as :func:`coti.loop.plan.effective` leaves it."""
    features: TensorBundle
    """Of :func:`coti.scores.features_to_scores.embed_images`."""
    candidates: torch.Tensor
    """bool [n]: images that are not in X_T yet and that no review drops."""
    columns: Mapping[str, torch.Tensor]
    """float32 [n] each, 0 to 10: ``s_aes`` (Eq. 7) and ``s_con`` (Eq. 8); ``s_int`` (Eq. 11), 0 to
    20; after :meth:`Strategy.score` its ``score``, too."""
    cycle: int
    """Of the loop, from 0."""
    generated: torch.Tensor | None = None
    """float32 [m, d], L2-normalised: the scorer's features of what the last embedding generated;
    none where nothing was trained yet."""
    sources: Sequence[str] = ()
    """File names."""
    images: Callable[[], torch.Tensor] | None = None
    """Reads the pool's images, uint8 [n, 3, h, w]."""
    seed_images: torch.Tensor | None = None
    """uint8 [s, 3, h, w]."""
    efficientnet: Callable[[], EfficientNetLite0] | None = None
    """Loads the reference judge, which some baselines stand on."""
    ground_truth: Mapping[str, bool] | None = None
    """File name to whether the image is clean; for a strategy that ``sees_ground_truth`` alone."""
    kept: torch.Tensor | None = None
    """bool [n]: images that a review keeps."""
    dropped: torch.Tensor | None = None
    """bool [n]: images that it drops."""
    taken: int = 0
    """Images of this selection that are taken already, before the strategy is asked."""

    @property
    def wanted(self) -> int:
        """Images that this selection is to add yet: of ``baseline_images`` at once, or of a cycle's
        part, what is not taken already."""
        at_once = self.settings.growth == "at_once"
        whole = self.settings.baseline_images if at_once else self.settings.added_in(self.cycle)
        return max(0, whole - self.taken)

    def texts(self, name: Literal["concept_text", "other_texts"]) -> torch.Tensor:
        """Features of the concept's words [1, d], or of other things' names [m, d]; L2-normalised.

        Raises:
            ConfigError: the pool was embedded without words for the concept.
        """
        found = self.features.tensors.get(name)
        if found is None:
            raise ConfigError(
                f"strategy {self.settings.strategy} asks the scorer for the concept by words, and "
                "there are none: set `concept` or `selection.text`, and embed with them."
            )
        return found


class Strategy(Protocol):
    """Which images join X_T. To add one: a file here and a line in ``STRATEGIES``."""

    growths: tuple[Literal["cycles", "at_once"], ...]
    """How it may grow X_T, its own way first: B more a cycle, or all before the only cycle."""
    selects: bool
    """Whether it ever adds an image."""
    fixed: bool
    """Whether its score stays the same over the cycles, so that it is computed once."""
    sees_ground_truth: bool
    """Whether it is shown the pool's ground truth: a cheat by design, for benchmarks."""

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""

    def least_images(self, settings: RunSettings) -> int:
        """Images that the pool must have for the first selection."""

    def score(self, pool: PoolView) -> torch.Tensor:
        """What it ranks by: float32 [n], more is better.

        Raises:
            ConfigError: something it needs was not given; says what.
        """

    def gates(self, pool: PoolView) -> Mapping[str, torch.Tensor]:
        """What holds an image back, in a few words, and which images it lets pass: bool [n] each.

        The pool's columns hold ``score``. What is picked passes all of them; what passes them and
        is not picked was merely not drawn (:mod:`coti.selection.outcomes`).
        """

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Images to add, best first: int64 [m] into the pool, whose columns hold ``score``.

        ``seed`` is of whatever is random in it, another one each cycle.
        """
