"""What the trainer and generation ask of something that is learned beside a frozen base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

import torch

from coti.inversion.base_model import TextToImageModel
from coti.settings import TokenSettings

__all__ = ["Adapter", "Applicable"]


class Applicable(Protocol):
    """What generation asks: small tensors on the CPU, and how a model uses them.

    ``parts`` of its methods are copies of :attr:`parts` on the device.
    """

    @property
    def parts(self) -> tuple[torch.Tensor, ...]:
        """The tensors that the trainer trains; none of something that is only applied."""
        ...

    def check_fits(self, model: TextToImageModel, source: str | None = None) -> None:
        """Raise EmbeddingError where it is another model's; ``source``: what the user gave."""
        ...

    @property
    def tokens(self) -> Mapping[str, int]:
        """Tokens that it adds to the vocabulary, each with its number of vectors; may be none."""
        ...

    def token_vectors(self, parts: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The vectors of :attr:`tokens`: [all vectors, width] a text encoder; else nothing."""
        ...

    def applied(
        self, model: TextToImageModel, parts: Sequence[torch.Tensor]
    ) -> AbstractContextManager[None]:
        """Inside, the model's text encoders and UNet work with the adapter."""
        ...


class Adapter(Applicable, Protocol):
    """A value that can be trained beside the frozen model.

    The trainer copies :attr:`parts` to the device, trains the copies, and makes the adapter that it
    returns with :meth:`with_parts`. In between, and in generation, the copies are what a method's
    ``parts`` are; all that is done with them must be differentiable.
    """

    @property
    def token(self) -> str:
        """The placeholder token that stands for the concept in prompts."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Where it comes from: base model, concept, step."""
        ...

    @property
    def parts(self) -> tuple[torch.Tensor, ...]:
        """What is trained, and nothing else is: float32 of any shape."""
        ...

    @classmethod
    def initial(
        cls, model: TextToImageModel, settings: TokenSettings, seed: int = 0, concept: str = ""
    ) -> Self:
        """The adapter before training."""
        ...

    @classmethod
    def load(cls, path: Path | str, token: str | None = None) -> Self:
        """Read a file of :meth:`save`; ``token`` replaces the file's."""
        ...

    def save(self, path: Path | str) -> Path:
        """Write one safetensors file; whole or not at all."""
        ...

    def with_parts(self, parts: Sequence[torch.Tensor], **metadata: str) -> Self:
        """The same adapter with other tensors, copied to the CPU, and more metadata."""
        ...

    def constraint(
        self, model: TextToImageModel, settings: TokenSettings
    ) -> Callable[[Sequence[torch.Tensor]], None]:
        """What is done to the parts, in place, after every optimizer step."""
        ...
