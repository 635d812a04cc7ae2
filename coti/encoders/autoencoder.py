"""The latents of the base model's own autoencoder as features."""

from __future__ import annotations

from typing import Any

import torch

from coti.core.errors import ModelError
from coti.encoders.image_batches import batches, fit, looking_at
from coti.encoders.protocol import EncoderOptions

__all__ = ["AutoencoderEncoder"]


class AutoencoderEncoder:
    """ℰ of Eq. 8 read literally: the flattened latent means of a diffusers autoencoder."""

    def __init__(
        self,
        vae: Any,
        resolution: int,
        *,
        name: str = "autoencoder",
        batch_size: int = 64,
    ) -> None:
        """Wrap a diffusers ``AutoencoderKL`` that is fed square images of ``resolution``."""
        self.name = name
        self.batch_size = batch_size
        self.resolution = resolution
        self._vae = vae
        self.size = int(self.encode_images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).shape[1])

    @classmethod
    def load(cls, options: EncoderOptions) -> AutoencoderEncoder:
        """The autoencoder of ``options.base_model``, at that model's resolution."""
        if options.base_model is None:
            raise ModelError("The autoencoder is a part of the base model: give that.")
        model = options.base_model()
        return cls(model.vae, model.resolution, batch_size=options.batch_size)

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, channels·h·w of a latent] on the CPU."""
        parts = []
        with looking_at(self.name, self.batch_size):
            for batch in batches(images, self.batch_size, f"{self.name}: image features"):
                pixels = batch.to(self._vae.device, torch.float32)
                pixels = fit(pixels, self.resolution, "shortest", 0.0) / 127.5 - 1
                latents = self._vae.encode(pixels.to(self._vae.dtype)).latent_dist.mean
                parts.append(latents.flatten(1).float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, self.size)
