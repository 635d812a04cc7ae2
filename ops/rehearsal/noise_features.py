"""Features of no image, to time what is done with features alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["NoiseFeatures"]


class NoiseFeatures:
    """An encoder of a width that sees nothing."""

    name = "noise"
    input_size = 1

    def __init__(self, size: int) -> None:
        self.size = size
        self._generator = torch.Generator().manual_seed(0)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, size], another one each time."""
        return torch.randn(len(images), self.size, generator=self._generator)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, size], another one each time."""
        return torch.randn(len(texts), self.size, generator=self._generator)
