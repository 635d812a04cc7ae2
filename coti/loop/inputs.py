"""What the stations of a cycle work with, whoever holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from coti.encoders.protocol import ImageEncoder, ImageTextEncoder
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer
from coti.scores.features_to_scores import ImageScorer

__all__ = ["Encoders", "Images", "Reviewed"]


class Images(Protocol):
    """Images by id: an :class:`~coti.core.image_set.ImageSet`, or a file of them."""

    def tensor(self, ids: Sequence[str]) -> torch.Tensor:
        """uint8 [len(ids), 3, h, w]."""


@dataclass(frozen=True)
class Encoders:
    """What S_aes and S_con are computed on."""

    scorer: ImageTextEncoder
    concept: ImageEncoder | None = None
    """ℰ of Eq. 8 where it isn't the scorer."""

    def with_scores(self, head: AestheticHead, concept: ConceptScorer) -> ImageScorer:
        """Scores any images as a cycle's pool images were scored."""
        return ImageScorer(self.scorer, self.concept, head, concept)


@dataclass(frozen=True)
class Reviewed:
    """The last word on a concept's images, by their ids."""

    kept: frozenset[str] = frozenset()
    """Of the pool."""
    dropped: frozenset[str] = frozenset()
    """Of the pool."""
    ratings: Mapping[str, float] = field(default_factory=dict)
    """0 to 10, of pool and seeds."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """Of the pool."""
