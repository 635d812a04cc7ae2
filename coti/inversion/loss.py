"""The loss of textual inversion: the base model's own denoising loss (Gal et al. 2022, Eq. 2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from coti.inversion.base_model import TextToImageModel
from coti.inversion.prompt_encoder import Conditioning

__all__ = ["DenoisingLoss", "predict"]


class DenoisingLoss:
    """Mean squared error of the UNet's prediction, for epsilon and v-prediction models.

    ``x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε``; the target is ε, or ``v = √ᾱ_t·ε − √(1 − ᾱ_t)·x_0``
    (Salimans and Ho 2022). The arithmetic is float32 whatever the UNet's precision.
    """

    def __init__(self, model: TextToImageModel) -> None:
        from diffusers import DDPMScheduler

        self._model = model
        self._velocity = model.prediction_type == "v_prediction"
        scheduler: Any = DDPMScheduler
        alphas: torch.Tensor = scheduler.from_config(model.scheduler_config).alphas_cumprod
        self.timesteps = len(alphas)
        self._signal = alphas.sqrt().to(model.device)[:, None, None, None]
        self._noise = (1.0 - alphas).sqrt().to(model.device)[:, None, None, None]

    def __call__(
        self,
        latents: torch.Tensor,  # x_0, float32 [b, channels, h, w], scaled
        noise: torch.Tensor,  # ε, as latents
        timesteps: torch.Tensor,  # t, int64 [b], 0 … timesteps − 1
        prompts: Conditioning,  # [b, …]
    ) -> torch.Tensor:
        """The loss, a float32 scalar."""
        signal, sigma = self._signal[timesteps], self._noise[timesteps]
        noisy = signal * latents + sigma * noise
        target = signal * noise - sigma * latents if self._velocity else noise
        return F.mse_loss(predict(self._model, noisy, timesteps, prompts).float(), target)


def predict(
    model: TextToImageModel, noisy: torch.Tensor, timesteps: torch.Tensor, prompts: Conditioning
) -> torch.Tensor:
    """The UNet's prediction for noisy latents [n, channels, h, w] at ``timesteps`` [n] or []."""
    added: dict[str, Any] | None = None
    if prompts.pooled is not None:
        height, width = (side * model.downscale for side in noisy.shape[-2:])
        ids = _size_ids(height, width, noisy.device, prompts.pooled.dtype)
        added = {"text_embeds": prompts.pooled, "time_ids": ids.expand(len(noisy), -1)}
    prediction: torch.Tensor = model.unet(
        noisy.to(dtype=model.dtype, memory_format=model.unet_format),
        timesteps,
        encoder_hidden_states=prompts.hidden,
        added_cond_kwargs=added,
        return_dict=False,
    )[0]
    return prediction


@lru_cache(maxsize=16)
def _size_ids(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """SDXL's original size, crop corner and target size: [1, 6], moved to the device once."""
    with torch.inference_mode(False):  # training keeps it for its gradient
        return torch.tensor([[height, width, 0, 0, height, width]], device=device, dtype=dtype)
