"""Generating images with adapters: batched guidance, any solver of diffusers, fixed noise."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from coti.core.determinism import deterministic
from coti.core.errors import ConfigError, EmbeddingError
from coti.core.out_of_memory import out_of_memory_at
from coti.core.progress import progress_bar
from coti.core.quiet_libraries import quiet_libraries
from coti.core.seeding import generator
from coti.core.work import working
from coti.inversion.adapters.protocol import Applicable
from coti.inversion.base_model import TextToImageModel
from coti.inversion.families.protocol import Conditioning
from coti.inversion.latents import decode_latents
from coti.inversion.loss import predict
from coti.inversion.prompt_encoder import PromptEncoder
from coti.settings import GenerationSettings

__all__ = ["SOLVER_STEP", "AfterStep", "fixed_noise", "generate", "make_solver"]

SOLVER_STEP = "solver step"
"""What :mod:`coti.core.work` is told of an image's step from noise, with guidance both halves."""

AfterStep = Callable[[torch.Tensor, torch.Tensor, slice], torch.Tensor]
"""Called after each solver step with the latents [b, channels, h, w], the next timestep (scalar,
−1 after the last) and which of the images these are; returns the latents to go on with."""


def fixed_noise(
    model: TextToImageModel,
    indices: Sequence[int],  # numbers of the images
    seed: int,
    size: tuple[int, int] | None = None,  # height, width in pixels; the model's resolution if None
) -> torch.Tensor:
    """The noise that images start from, float32 [n, channels, h, w] on the CPU.

    Each image's depends on (seed, its index) only: not on the others, the batch or the device.
    """
    channels, height, width = model.latent_shape
    if size is not None:
        height, width = size[0] // model.downscale, size[1] // model.downscale
    rows = [
        torch.randn(channels, height, width, generator=generator(seed, "start", index))
        for index in indices
    ]
    return torch.stack(rows)


def make_solver(model: TextToImageModel, settings: GenerationSettings) -> Any:
    """The diffusers scheduler for the model's own noise schedule, timesteps set.

    Raises:
        ConfigError: diffusers has no such scheduler, it can't do so few or many steps, or it has no
            noise levels for ``guidance_interval`` to lie between.
    """
    import diffusers

    kind: Any = getattr(diffusers, settings.scheduler, None)
    if not settings.scheduler.endswith("Scheduler") or not hasattr(kind, "from_config"):
        raise ConfigError(
            f"scheduler {settings.scheduler!r} is none of diffusers': give a class name such as "
            "DPMSolverMultistepScheduler, DDIMScheduler or EulerDiscreteScheduler."
        )
    config = dict(model.scheduler_config)
    if "use_karras_sigmas" in inspect.signature(kind.__init__).parameters:
        config["use_karras_sigmas"] = settings.use_karras_sigmas
    with quiet_libraries():
        solver = kind.from_config(config)
        try:
            solver.set_timesteps(settings.num_inference_steps, device=model.device)
        except (ValueError, IndexError) as error:
            raise ConfigError(
                f"{settings.scheduler} cannot do {settings.num_inference_steps} steps: {error}."
            ) from error
    if settings.guidance_interval is not None and not hasattr(solver, "alphas_cumprod"):
        raise ConfigError(
            f"{settings.scheduler} does not say its noise levels as guidance_interval needs them: "
            "leave guidance_interval out, or take a scheduler such as DPMSolverMultistepScheduler."
        )
    return solver


@torch.no_grad()
def generate(
    model: TextToImageModel,
    prompts: Sequence[str],  # one an image
    adapters: Sequence[Applicable],  # whose tokens the prompts may hold
    settings: GenerationSettings,
    seed: int,
    noise: torch.Tensor | None = None,  # float32 [n, channels, h, w] to start from
    *,
    negative_prompt: str = "",
    indices: Sequence[int] | None = None,  # numbers of the images; 0 … n − 1 if None
    size: tuple[int, int] | None = None,  # height, width in pixels
    after_step: AfterStep | None = None,
    progress: str = "generating",  # what the progress bar says
) -> torch.Tensor:
    """Generate one image a prompt; image i depends on (seed, i, its prompt) only.

    Classifier-free guidance (Ho and Salimans 2022): ``uncond + scale·(cond − uncond)``, both in
    one batch; at ``guidance_scale`` 1 or less only ``cond`` is computed.

    Returns:
        uint8 [n, 3, height, width] on the CPU.

    Raises:
        EmbeddingError: an adapter does not fit the model, or two share a token.
        ConfigError: an unknown scheduler, a size that the model cannot generate, or more images at
            once than the device has memory for.
    """
    if not prompts:
        raise ConfigError("There is no prompt to generate from.")
    numbers = list(range(len(prompts))) if indices is None else list(indices)
    if size is not None and any(side % model.downscale or side <= 0 for side in size):
        raise ConfigError(f"A size of {size[0]}x{size[1]} is no multiple of {model.downscale}.")
    if noise is None:
        noise = fixed_noise(model, numbers, seed, size)
    latents = []
    starts = range(0, len(prompts), settings.batch_size)
    total = len(starts) * settings.num_inference_steps
    remedy = (
        f"lower generation.batch_size (try {max(1, settings.batch_size // 2)}, which takes half as "
        "much beside the weights)"
    )
    with (
        out_of_memory_at(ConfigError, f"generating {settings.batch_size} images at once", remedy),
        deterministic(model.deterministic),
        ExitStack() as applied,
        progress_bar(total=total, what=progress) as bar,
    ):
        for adapter in adapters:
            adapter.check_fits(model)
            parts = [part.to(model.device) for part in adapter.parts]
            applied.enter_context(adapter.applied(model, parts))
        text = _encode(model, prompts, adapters, negative_prompt)
        for first in starts:
            chosen = slice(first, first + settings.batch_size)
            part = _denoise(
                model, noise[chosen], text, chosen, numbers[chosen], settings, seed, after_step, bar
            )
            latents.append(part)
        return decode_latents(model, torch.cat(latents), settings.batch_size)


class _Text:
    """Encoded prompts: each different prompt once, and which one an image has."""

    def __init__(self, positive: Conditioning, negative: Conditioning, which: torch.Tensor) -> None:
        self._positive, self._negative, self._which = positive, negative, which

    def rows(self, chosen: slice, guided: bool) -> Conditioning:
        """Prompts of the chosen images [b, …], after as many negative ones if guided."""
        which = self._which[chosen]
        positive = self._positive.rows(which)
        if not guided:
            return positive
        negative = self._negative.rows(torch.zeros_like(which))
        return Conditioning.joined([negative, positive])


def _encode(
    model: TextToImageModel,
    prompts: Sequence[str],
    adapters: Sequence[Applicable],
    negative_prompt: str,
) -> _Text:
    given = [token for adapter in adapters for token in adapter.tokens]
    doubled = sorted({token for token in given if given.count(token) > 1})
    if doubled:
        raise EmbeddingError(f"Two embeddings share the token {doubled[0]}; rename one (token=…).")
    tokens = {token: n for adapter in adapters for token, n in adapter.tokens.items()}
    encoder = PromptEncoder(model, tokens)
    learned = [adapter.token_vectors(adapter.parts) for adapter in adapters if adapter.tokens]
    vectors = [torch.cat(parts).to(model.device) for parts in zip(*learned, strict=True)]
    different = list(dict.fromkeys(prompts))
    which = torch.tensor([different.index(prompt) for prompt in prompts], device=model.device)

    def encoded(texts: Sequence[str]) -> Conditioning:
        return encoder([ids.to(model.device) for ids in encoder.tokenize(texts)], vectors)

    parts = [encoded(different[first : first + 64]) for first in range(0, len(different), 64)]
    negative = encoded([negative_prompt])
    if not negative_prompt and model.empty_prompt_is_zero:
        negative = negative.zeros()
    return _Text(Conditioning.joined(parts), negative, which)


def _within(interval: tuple[float, float] | None, solver: Any, timestep: torch.Tensor) -> bool:
    """Whether the noise level σ of a step lies in the interval (σ_lo, σ_hi]."""
    if interval is None:
        return True
    kept = float(solver.alphas_cumprod[int(timestep)])
    level = math.sqrt((1 - kept) / kept) if kept else math.inf  # nothing but noise
    return interval[0] < level <= interval[1]


def _denoise(
    model: TextToImageModel,
    noise: torch.Tensor,  # [b, channels, h, w]
    text: _Text,
    chosen: slice,
    numbers: Sequence[int],  # of the chosen images
    settings: GenerationSettings,
    seed: int,
    after_step: AfterStep | None,
    bar: Any,
) -> torch.Tensor:
    """Noise to latents, float32 [b, channels, h, w] on the model's device."""
    solver = make_solver(model, settings)
    guided = settings.guidance_scale > 1.0
    prompts = text.rows(chosen, guided)
    options: dict[str, Any] = {}
    if "generator" in inspect.signature(solver.step).parameters:
        options["generator"] = [generator(seed, "solver", number) for number in numbers]
    latents: torch.Tensor = noise.to(model.device, torch.float32) * solver.init_noise_sigma
    steps = solver.timesteps
    alone = prompts.rows(torch.arange(len(latents), 2 * len(latents))) if guided else prompts
    for place, timestep in enumerate(steps):
        weighed = guided and _within(settings.guidance_interval, solver, timestep)
        both = torch.cat([latents, latents]) if weighed else latents
        scaled = solver.scale_model_input(both, timestep)
        with working(SOLVER_STEP, len(latents)):
            prediction = predict(model, scaled, timestep, prompts if weighed else alone).float()
        if weighed:
            negative, positive = prediction.chunk(2)
            prediction = negative + settings.guidance_scale * (positive - negative)
        latents = solver.step(prediction, timestep, latents, **options, return_dict=False)[0]
        if after_step is not None:
            following = steps[place + 1] if place + 1 < len(steps) else timestep.new_tensor(-1)
            latents = after_step(latents, following, chosen)
        bar.update()
    return latents.float()
