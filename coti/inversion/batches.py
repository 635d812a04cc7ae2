"""What step i trains on: a pure function of (seed, i), so a resumed run has nothing to restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from coti.core.errors import TrainingError
from coti.core.seeding import generator
from coti.inversion.caption_templates import templates_for
from coti.settings import TokenSettings, TrainSettings

__all__ = ["Batch", "BatchPlan"]


@dataclass(frozen=True)
class Batch:
    """One step's draws, on the CPU."""

    images: torch.Tensor
    """int64 [b], rows of the latent cache."""
    prompts: torch.Tensor
    """int64 [b], rows of :attr:`BatchPlan.prompts`."""
    timesteps: torch.Tensor
    """int64 [b], uniform over the model's noise schedule, one by one or together."""
    posterior_noise: torch.Tensor
    """float32 [b, channels, h, w], ε of the autoencoder's posterior."""
    noise: torch.Tensor
    """float32 [b, channels, h, w], ε of the diffusion."""


class BatchPlan:
    """Images in a new order every epoch, each with a random caption, timestep and noise.

    Args:
        images: n, images in X_T.
        captions: the pool's own captions, one an image, or None.
        settings: batch size, captions, dropout, mirroring.
        token: the placeholder, and what it stands for.
        latent_shape: channels, height, width.
        timesteps: of the model's noise schedule.
        seed: of every random draw.

    Raises:
        TrainingError: settings ask for the images' own captions and there are none.
    """

    def __init__(
        self,
        images: int,
        captions: Sequence[str] | None,
        settings: TrainSettings,
        token: TokenSettings,
        latent_shape: tuple[int, int, int],
        timesteps: int,
        seed: int,
    ) -> None:
        if settings.captions != "templates" and (captions is None or len(captions) != images):
            raise TrainingError(
                f"captions: {settings.captions} needs a caption for each of the {images} "
                f"images and got {len(captions or ())}; set captions: templates."
            )
        self._images = images
        self._settings = settings
        self._latent_shape = latent_shape
        self._timesteps = timesteps
        self._seed = seed
        placeholder = token.placeholder_token
        templates = templates_for(token.learnable_property)
        self.templates = len(templates)
        own = [f"{placeholder} {caption}" for caption in captions or ()]
        if settings.captions == "templates":
            own = []
        self.prompts: tuple[str, ...] = (
            *(template.format(placeholder) for template in templates),
            placeholder,
            *own,
        )
        """All captions there are: the templates, the bare token, the images' own."""

    def batch(self, step: int) -> Batch:
        """The batch of optimizer (micro-)step ``step``, counted from 0."""
        size, shape = self._settings.batch_size, self._latent_shape
        draws = generator(self._seed, "training step", step)
        images = torch.tensor(
            [self._image(step * size + place) for place in range(size)], dtype=torch.int64
        )
        prompts = torch.randint(self.templates, (size,), generator=draws)
        if self._settings.captions != "templates":
            own = self.templates + 1 + images
            share = 1.0 if self._settings.captions == "pool" else 0.5
            prompts = torch.where(torch.rand(size, generator=draws) < share, own, prompts)
        if self._settings.caption_dropout > 0:
            bare = torch.rand(size, generator=draws) < self._settings.caption_dropout
            prompts = torch.where(bare, self.templates, prompts)
        if self._settings.horizontal_flip:
            mirrored = torch.randint(2, (size,), generator=draws)
            images = images + mirrored * self._images
        if self._settings.timesteps == "stratified":
            parts = torch.randperm(size, generator=draws)
            places = (parts + torch.rand(size, generator=draws)) / size
            timesteps = (places * self._timesteps).long().clamp(max=self._timesteps - 1)
        else:
            timesteps = torch.randint(self._timesteps, (size,), generator=draws)
        noises = torch.randn(2, size, *shape, generator=draws)
        return Batch(images, prompts, timesteps, noises[0], noises[1])

    def _image(self, position: int) -> int:
        epoch, place = divmod(position, self._images)
        return int(_order(self._seed, epoch, self._images)[place])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, images: int) -> torch.Tensor:
    return torch.randperm(images, generator=generator(seed, "epoch", epoch))
