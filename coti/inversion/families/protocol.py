"""What a family of base models must say of itself; everything else of a model is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import torch

from coti.core.errors import ModelError

__all__ = [
    "Conditioning",
    "ModelFamily",
    "ModelPart",
    "Noising",
    "TextEncoderPart",
    "embedding_keys",
    "takes_more_than_latents",
]


class ModelPart(NamedTuple):
    """A network in a diffusers folder."""

    folder: str
    kind: str
    """Its class in diffusers or transformers."""


class TextEncoderPart(NamedTuple):
    """A text encoder in a diffusers folder, its tokenizer, and its name in embedding files."""

    folder: str
    kind: str
    tokenizer: str
    """The tokenizer's folder."""
    key: str | None = None
    """Key of its vectors in an embedding file; None: the placeholder token, for a family of one
    text encoder."""


@dataclass(frozen=True)
class Conditioning:
    """What the UNet is told about n prompts.

    >>> Conditioning(torch.zeros(2, 77, 8)).rows(torch.tensor([1, 1, 0])).hidden.shape
    torch.Size([3, 77, 8])
    """

    hidden: torch.Tensor
    """[n, length, width of the cross attention]."""
    added: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """[n, …] each: what a family conditions on beside, by name."""

    def rows(self, index: torch.Tensor) -> Conditioning:
        """The prompts at ``index`` [m], one row each."""
        added = {name: value[index] for name, value in self.added.items()}
        return Conditioning(self.hidden[index], added)

    def zeros(self) -> Conditioning:
        """The same shapes, all zeros."""
        added = {name: torch.zeros_like(value) for name, value in self.added.items()}
        return Conditioning(torch.zeros_like(self.hidden), added)

    @staticmethod
    def joined(parts: Sequence[Conditioning]) -> Conditioning:
        """The prompts of all parts, one after the other; at least one part."""
        names = parts[0].added
        return Conditioning(
            torch.cat([part.hidden for part in parts]),
            {name: torch.cat([part.added[name] for part in parts]) for name in names},
        )


class Noising(Protocol):
    """The forward process, and what the network is to predict of it."""

    timesteps: int
    """Steps of the noise schedule; t is 0 … timesteps − 1."""

    def __call__(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy latents x_t and the target, float32 as ``latents`` [b, channels, h, w]."""


class ModelFamily(Protocol):
    """One family; stateless, so that all its models share one object."""

    pipeline: ClassVar[str]
    """The diffusers pipeline that generates with it, and reads its single files."""
    single_file_options: ClassVar[Mapping[str, Any]]
    """What that pipeline's ``from_single_file`` must be told."""
    index: ClassVar[Mapping[str, Any]]
    """What stands in ``model_index.json`` beside the parts."""
    unet: ClassVar[ModelPart]
    vae: ClassVar[ModelPart]
    text_encoders: ClassVar[tuple[TextEncoderPart, ...]]
    """In the order in which an embedding's parts are given."""
    predictions: ClassVar[tuple[str, ...]]
    """The scheduler's ``prediction_type`` values that it has a loss for."""
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Published shapes by name: diffusers configurations by part."""
    made_for: ClassVar[Mapping[tuple[int, ...], str]]
    """Which models an embedding is for, by the widths of its parts."""

    def reads(self, index: Mapping[str, Any]) -> bool:
        """Whether a folder with this ``model_index.json`` holds one of its models.

        Of one of :attr:`architectures` it is asked, too: with the parts alone, each its whole
        configuration. A part that a saved pipeline goes without is there as ``[None, None]``.
        """

    def recognise(self, shapes: Mapping[str, Sequence[int]], name: str) -> str | None:
        """Which of ``architectures`` a single file is, from its tensors' shapes; None: none.

        Raises:
            ModelError: it is the family's and cannot be used, or only once the user says which.
        """

    def encode(
        self,
        text_encoders: Sequence[Any],
        ids: Sequence[torch.Tensor],  # [n, length] a text encoder, on its device
        masks: Sequence[torch.Tensor | None],  # as ids, 0 where there is padding
    ) -> Conditioning:
        """Prompts as the UNet takes them; differentiable."""

    def empty_prompt_is_zero(self, index: Mapping[str, Any]) -> bool:
        """Whether guidance takes zeros in place of an encoded empty negative prompt."""

    def predict(
        self,
        unet: Any,
        noisy: torch.Tensor,  # [n, channels, h, w] in the UNet's precision
        timesteps: torch.Tensor,  # [n] or []
        prompts: Conditioning,  # [n, …]
        size: tuple[int, int],  # height, width in pixels
    ) -> torch.Tensor:
        """The UNet's prediction, as ``noisy``."""

    def noising(self, scheduler_config: Mapping[str, Any], device: torch.device) -> Noising:
        """The forward process that a model was trained with."""

    def to_latents(self, vae: Any, raw: torch.Tensor) -> torch.Tensor:
        """The autoencoder's raw latents, scaled as the UNet takes them."""

    def from_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`to_latents`."""


def embedding_keys(family: ModelFamily) -> tuple[str, ...]:
    """Keys of an embedding's parts in its file; () where the one key is the placeholder token.

    >>> from coti.inversion.families.stable_diffusion_xl import StableDiffusionXL
    >>> embedding_keys(StableDiffusionXL())
    ('clip_l', 'clip_g')
    """
    return tuple(part.key for part in family.text_encoders if part.key)


def takes_more_than_latents(name: str, channels: int) -> ModelError:
    """What is said of a model whose UNet takes more ``channels`` than latents have."""
    return ModelError(
        f"{name} takes {channels} latent channels: an inpainting or upscaling model; give a "
        "text-to-image one."
    )
