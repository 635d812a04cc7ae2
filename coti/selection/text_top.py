"""What fits the concept's name best: CLIP score (Hessel et al. 2021), as data sets are filtered."""

from __future__ import annotations

from typing import Literal

import torch

from coti.core.errors import ConfigError
from coti.selection.batch import select_batch
from coti.selection.protocol import PoolView
from coti.settings import RunSettings

__all__ = ["TextTop", "of_text", "wanted"]


class TextTop:
    """The ``baseline_images`` nearest to the concept's words at once, or B a cycle."""

    growths: tuple[Literal["cycles", "at_once"], ...] = ("at_once", "cycles")
    selects = True
    fixed = True
    sees_ground_truth = False

    def __init__(self, name: str = "text_top") -> None:
        """``name``: the strategy's."""
        self.name = name

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "text, top K"

    def least_images(self, settings: RunSettings) -> int:
        """A batch, or one: a smaller pool is taken whole."""
        return settings.selection.batch if settings.growth == "cycles" else 1

    def score(self, pool: PoolView) -> torch.Tensor:
        """Cosine to the words."""
        return pool.features["pool"] @ of_text(pool, self.name, "concept_text")[0]

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """The best of the score."""
        return select_batch(pool.columns["score"], pool.candidates, wanted(pool))


def wanted(pool: PoolView) -> int:
    """Images that a selection is to add: B in a cycle, ``baseline_images`` at once."""
    settings = pool.settings
    return settings.baseline_images if pool.cycle == 0 else settings.selection.batch


def of_text(pool: PoolView, strategy: str, name: str) -> torch.Tensor:
    """Features of texts, ``concept_text`` or ``other_texts``: float32 [m, d], L2-normalised.

    Raises:
        ConfigError: the pool was embedded without words for the concept.
    """
    found = pool.features.tensors.get(name)
    if found is None:
        raise ConfigError(
            f"strategy {strategy} asks the scorer for the concept by words, and there are none: "
            "set `concept` or `selection.text`, and embed with them."
        )
    return found
