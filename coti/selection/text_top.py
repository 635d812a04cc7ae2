"""What fits the concept's name best: CLIP score (Hessel et al. 2021), as data sets are filtered."""

from __future__ import annotations

import torch

from coti.selection.protocol import PoolView
from coti.selection.top_scored import TopScored
from coti.settings import RunSettings

__all__ = ["TextTop"]


class TextTop(TopScored):
    """The images nearest to the concept's words."""

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "text, top K"

    def score(self, pool: PoolView) -> torch.Tensor:
        """Cosine to the words."""
        return pool.features["pool"] @ pool.texts("concept_text")[0]
