"""What describes images in words, by name; from outside: ``CAPTIONERS.register("mine", …)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch

from coti.core.registry import Registry
from coti.encoders.protocol import ImageTextEncoder

__all__ = ["CAPTIONERS", "Captioner", "CaptionerOptions", "LoadableCaptioner"]


class Captioner(Protocol):
    """Anything that describes images."""

    def describe(self, images: torch.Tensor) -> list[str]:
        """uint8 [n, 3, h, w], any size, to n lines of text; empty where it has nothing to say."""


@dataclass(frozen=True)
class CaptionerOptions:
    """What a captioner may be loaded from; each takes what it needs and leaves the rest."""

    concept: str
    """What the images are believed to show."""
    scorer: ImageTextEncoder
    """The run's own."""
    tags: Sequence[str] = ()
    """Alternatives, divided by ``|``."""
    model: str | None = None
    """A folder, a name or an address."""
    sha256: str | None = None
    """Pinned hash of its files."""
    batch_size: int = 16
    """Images at once."""


class LoadableCaptioner(Captioner, Protocol):
    """What the registry holds: a class whose objects are captioners."""

    @classmethod
    def load(cls, options: CaptionerOptions) -> Self:
        """Load the captioner.

        Raises:
            ModelError: nothing can be loaded from the options; says what to do.
        """


CAPTIONERS = Registry[type[LoadableCaptioner]](
    "captioner",
    {
        "tags": "coti.encoders.tag_captioner:TagCaptioner",
        "transformers": "coti.encoders.transformers_captioner:TransformersCaptioner",
    },
    LoadableCaptioner,
)
