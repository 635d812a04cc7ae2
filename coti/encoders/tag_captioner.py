"""Words about an image, chosen zero-shot by the scorer (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from coti.encoders.captioners import CaptionerOptions
from coti.encoders.protocol import ImageTextEncoder, normalized

__all__ = ["TagCaptioner"]

LOGIT_SCALE = 100.0
"""At which CLIP and its likes end their training."""
SURE = 0.5
"""Share of a group's probability: more than all other ones of it together."""


class TagCaptioner:
    """Of each group of words the likely one: "photo, blurry, white background"."""

    def __init__(self, scorer: ImageTextEncoder, concept: str, groups: Sequence[str]) -> None:
        """``concept`` stands before each word that is asked for; ``groups``: words divided by |."""
        self._scorer = scorer
        self._groups = [[word.strip() for word in each.split("|")] for each in groups]
        self._texts = [
            normalized(scorer.encode_texts([f"{concept}, {word}" for word in words]))
            for words in self._groups
        ]

    @classmethod
    def load(cls, options: CaptionerOptions) -> TagCaptioner:
        """By ``scorer``, ``concept`` and ``tags``."""
        return cls(options.scorer, options.concept, options.tags)

    def describe(self, images: torch.Tensor) -> list[str]:
        """uint8 [n, 3, h, w], any size, to the words of each, divided by commas."""
        features = normalized(self._scorer.encode_images(images))
        found: list[list[str]] = [[] for _ in images]
        for words, texts in zip(self._groups, self._texts, strict=True):
            shares = (LOGIT_SCALE * features @ texts.T).softmax(dim=1)
            for own, share in zip(found, shares, strict=True):
                best = int(share.argmax())
                if share[best] > SURE:
                    own.append(words[best])
        return [", ".join(own) for own in found]
