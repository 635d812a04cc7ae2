"""Keeping learned vectors as long as a vocabulary's words are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from coti.inversion.base_model import TextToImageModel

__all__ = ["NormControl"]


class NormControl:
    """Keeps each vector as long as the vocabulary's are; see ``TokenSettings.norm_control``."""

    def __init__(self, model: TextToImageModel, kind: Literal["none", "clip", "rescale"]) -> None:
        self._kind = kind
        self._limits = []
        for encoder in model.text_encoders:
            lengths = encoder.get_input_embeddings().weight.detach().float().norm(dim=1)
            self._limits.append(lengths.max() if kind == "clip" else lengths.mean())

    @torch.no_grad()
    def apply(self, vectors: Sequence[torch.Tensor]) -> None:
        """Shorten (or rescale) vectors [num_vectors, width] in place, a tensor a text encoder."""
        if self._kind == "none":
            return
        for part, limit in zip(vectors, self._limits, strict=True):
            factor = limit / part.norm(dim=1, keepdim=True).clamp(min=1e-12)
            part.mul_(factor.clamp(max=1.0) if self._kind == "clip" else factor)
