"""Image and text features: one protocol for every extractor, so scores don't know which it was.

Features come out float32 on the CPU and not normalised; :func:`normalized` puts them on the unit
sphere, where an inner product is a cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch.nn import functional

__all__ = ["EncoderOptions", "ImageEncoder", "ImageTextEncoder", "LoadableEncoder", "normalized"]


class ImageEncoder(Protocol):
    """Anything that turns images into feature vectors."""

    name: str
    """What it is called in records and messages."""
    size: int
    """Width of a feature vector."""

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, size] on the CPU, not normalised."""


class ImageTextEncoder(ImageEncoder, Protocol):
    """An extractor that puts images and texts into one space."""

    input_size: int
    """Side of the images the model itself sees, in pixels."""

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts to float32 [n, size] on the CPU, not normalised."""


def normalized(features: torch.Tensor) -> torch.Tensor:
    """Rows of [n, d] scaled to length 1; a row of zeros stays one.

    >>> normalized(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return functional.normalize(features, dim=-1)


@dataclass(frozen=True)
class EncoderOptions:
    """What an encoder may be loaded from; each takes what it needs and leaves the rest."""

    model: str | None = None
    """A folder, file, name or address, as the encoder says."""
    pretrained: str | None = None
    """The weights of a model known by name: a tag or a file."""
    sha256: str | None = None
    """Pinned hash of the weights."""
    device: str = "cpu"
    """A torch device, or ``auto`` for CUDA where there is one."""
    batch_size: int = 64
    """Images at once."""
    images_only: bool = False
    """Whether no texts will be encoded: what does that need not be kept in memory."""
    base_model: Callable[[], Any] | None = None
    """Gives the text-to-image model that is taught, for an encoder that is a part of it."""


class LoadableEncoder(ImageEncoder, Protocol):
    """What the registry holds: a class whose objects are encoders."""

    @classmethod
    def load(cls, options: EncoderOptions) -> Self:
        """Load the encoder.

        Raises:
            ModelError: nothing can be loaded from the options; says what to do.
        """
