"""Diffusion's forward process with a discrete schedule, and its two targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["DiffusionNoising"]


class DiffusionNoising:
    """``x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε`` (Ho et al. 2020).

    The target is ε, or ``v = √ᾱ_t·ε − √(1 − ᾱ_t)·x_0`` (Salimans and Ho 2022).
    """

    def __init__(self, scheduler_config: Mapping[str, Any], device: torch.device) -> None:
        """Take diffusers' configuration of the schedule; tables lie on ``device``."""
        from diffusers import DDPMScheduler

        scheduler: Any = DDPMScheduler
        self._schedule = scheduler.from_config(scheduler_config)
        self._schedule.alphas_cumprod = self._schedule.alphas_cumprod.to(device)
        self._velocity = scheduler_config.get("prediction_type") == "v_prediction"
        self.timesteps = len(self._schedule.alphas_cumprod)

    def __call__(
        self,
        latents: torch.Tensor,  # x_0, float32 [b, channels, h, w]
        noise: torch.Tensor,  # ε, as latents
        timesteps: torch.Tensor,  # t, int64 [b], 0 … timesteps − 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x_t and the target."""
        noisy = self._schedule.add_noise(latents, noise, timesteps)
        if not self._velocity:
            return noisy, noise
        return noisy, self._schedule.get_velocity(latents, noise, timesteps)
