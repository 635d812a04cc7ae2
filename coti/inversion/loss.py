"""The loss of textual inversion: the base model's own denoising loss (Gal et al. 2022, Eq. 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from coti.inversion.base_model import TextToImageModel
from coti.inversion.families.protocol import Conditioning

__all__ = ["DenoisingLoss", "predict"]


class DenoisingLoss:
    """Mean squared error of the UNet's prediction against what its family has it predict.

    The arithmetic is float32 whatever the UNet's precision.
    """

    def __init__(self, model: TextToImageModel) -> None:
        self._model = model
        self._noising = model.family.noising(model.scheduler_config, model.device)
        self.timesteps = self._noising.timesteps

    def __call__(
        self,
        latents: torch.Tensor,  # x_0, float32 [b, channels, h, w], scaled
        noise: torch.Tensor,  # ε, as latents
        timesteps: torch.Tensor,  # t, int64 [b], 0 … timesteps − 1
        prompts: Conditioning,  # [b, …]
    ) -> torch.Tensor:
        """The loss, a float32 scalar."""
        noisy, target = self._noising(latents, noise, timesteps)
        return F.mse_loss(predict(self._model, noisy, timesteps, prompts).float(), target)


def predict(
    model: TextToImageModel, noisy: torch.Tensor, timesteps: torch.Tensor, prompts: Conditioning
) -> torch.Tensor:
    """The UNet's prediction for noisy latents [n, channels, h, w] at ``timesteps`` [n] or []."""
    height, width = (side * model.downscale for side in noisy.shape[-2:])
    ready = noisy.to(dtype=model.dtype, memory_format=model.unet_format)
    return model.family.predict(model.unet, ready, timesteps, prompts, (height, width))
