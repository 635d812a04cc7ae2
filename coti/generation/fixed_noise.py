"""Images of the learned embedding on fixed noise: X_TI, the images behind φ, sample grids."""

from __future__ import annotations

import torch

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.generation.sampler import generate
from coti.inversion.adapters.protocol import Adapter
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

__all__ = ["generate_fixed", "prompts_of"]


def prompts_of(token: str, settings: GenerationSettings, count: int) -> list[str]:
    """``count`` prompts with ``token`` in them, the configured ones in turn.

    >>> prompts_of("<t>", GenerationSettings(prompts=("a {}", "the {}")), 3)
    ['a <t>', 'the <t>', 'a <t>']
    """
    return [settings.prompts[i % len(settings.prompts)].replace("{}", token) for i in range(count)]


def generate_fixed(
    model: TextToImageModel,
    adapter: Adapter,
    settings: GenerationSettings,
    count: int,
    seed: int,
    purpose: str,
) -> ImageSet:
    """Generate ``count`` images; noise and prompts depend on ``seed`` and ``purpose`` alone.

    So two calls with different adapters differ by the adapter and by nothing else.
    """
    prompts = prompts_of(adapter.token, settings, count)
    with torch.inference_mode():
        images = generate(model, prompts, [adapter], settings, derived_seed(seed, purpose))
    return ImageSet([f"{purpose}-{i:04d}" for i in range(count)], images)
