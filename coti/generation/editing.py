"""Localized editing: Blended Latent Diffusion (Avrahami et al. 2023) with embeddings.

Inside the mask the image is generated from a prompt; outside, after every step, the latents are
replaced by the source image's own, noised to the same level. Any Stable Diffusion model does it;
no inpainting model is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from coti.core.errors import ConfigError, PoolError
from coti.core.images import from_pil, read_image
from coti.generation.prompts import check_tokens, fill_prompts
from coti.generation.sampler import AfterStep, fixed_noise, generate, make_solver
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.latents import decode_latents, to_model_range
from coti.settings import GenerationSettings

__all__ = ["Edit", "edit_image", "latent_mask", "read_image_and_mask"]


@dataclass(frozen=True)
class Edit:
    """Edited images, and how well they kept what was not to be edited."""

    images: torch.Tensor
    """uint8 [n, 3, h, w]."""
    outside_error: float
    """Mean absolute difference to the source outside the mask, in levels of 255."""
    autoencoder_error: float
    """The same of the source encoded and decoded with no edit: what latents cannot do better."""


def read_image_and_mask(
    image: Path | str,
    mask: Path | str,
    model: TextToImageModel,
    read: Callable[[Path], Image.Image] = read_image,
) -> tuple[torch.Tensor, torch.Tensor]:
    """An image, uint8 [3, h, w], and its mask, bool [h, w]; True (white) is to be edited.

    An image whose sides the model's latents can't divide is cut by the few pixels at the right
    and the bottom. ``read`` decodes a file to an upright RGB image.

    Raises:
        PoolError: one of them is no image, or they differ in size.
        ConfigError: the mask is all black or all white, or the image is too small.
    """
    source, painted = read(Path(image)), read(Path(mask))
    if source.size != painted.size:
        raise PoolError(
            f"The mask {mask} has {painted.width}x{painted.height} pixels, the image {image} "
            f"{source.width}x{source.height}: make the mask as large as the image."
        )
    step = model.downscale
    height, width = source.height // step * step, source.width // step * step
    if height == 0 or width == 0:
        raise ConfigError(f"{image} is smaller than {step} pixels, one latent of {model.name}.")
    box = (0, 0, width, height)
    pixels = from_pil([source.crop(box)], (height, width))[0]
    chosen = torch.from_numpy(np.array(painted.crop(box).convert("L")) >= 128)
    if not bool(chosen.any()) or bool(chosen.all()):
        which = "white" if bool(chosen.any()) else "black"
        raise ConfigError(
            f"The mask {mask} is all {which}: paint white what should change, and black what "
            "should stay."
        )
    return pixels, chosen


def latent_mask(mask: torch.Tensor, downscale: int) -> torch.Tensor:
    """A mask, bool [h, w], by latents: bool [h / downscale, w / downscale].

    A latent is edited where at least half of its pixels are.

    Raises:
        ConfigError: the mask is so thin that no latent is.

    >>> latent_mask(torch.tensor([[True, True, False, False]] * 2), 2)
    tensor([[ True, False]])
    """
    share = F.avg_pool2d(mask[None, None].float(), downscale)[0, 0]
    inside = share >= 0.5
    if not bool(inside.any()):
        raise ConfigError(
            f"The mask is too thin: nowhere does it fill half of a {downscale}x{downscale} square, "
            "the least that can be edited; paint it broader."
        )
    return inside


@torch.no_grad()
def edit_image(
    model: TextToImageModel,
    image: torch.Tensor,  # uint8 [3, h, w], sides multiples of model.downscale
    mask: torch.Tensor,  # bool [h, w], True is edited
    prompt: str,  # may hold tokens; {} stands for the first embedding's
    embeddings: Sequence[Embedding],
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    num_images: int = 1,
    negative_prompt: str = "",
    keep_pixels: bool = False,  # put the source's own pixels back outside the mask
) -> Edit:
    """Generate the prompt inside the mask and keep the rest.

    Raises:
        ConfigError: image and mask differ in size, or the mask edits no latent.
        EmbeddingError: as :func:`coti.generation.prompted.generate_prompts`.
    """
    settings = settings or GenerationSettings()
    if image.shape[1:] != mask.shape:
        raise ConfigError(
            f"The mask has shape {list(mask.shape)}, the image {list(image.shape[1:])}: they "
            "must be of one size."
        )
    (filled,) = fill_prompts([prompt], embeddings)
    check_tokens(model, [filled, negative_prompt], embeddings)
    height, width = image.shape[1:]
    source = _encode(model, image)
    inside = latent_mask(mask, model.downscale)
    noise = fixed_noise(model, range(num_images), seed, (height, width))
    images = generate(
        model,
        [filled] * num_images,
        embeddings,
        settings,
        seed,
        noise,
        negative_prompt=negative_prompt,
        size=(height, width),
        after_step=_blending(model, source, inside, noise, settings),
        progress="editing",
    )
    plain = decode_latents(model, source)
    outside = ~mask
    if keep_pixels:
        images = torch.where(mask, images, image)
    return Edit(
        images,
        outside_error=_error(images, image, outside),
        autoencoder_error=_error(plain, image, outside),
    )


def _encode(model: TextToImageModel, image: torch.Tensor) -> torch.Tensor:
    """The mean latents of an image at its own size, scaled: float32 [1, channels, h, w]."""
    posterior = model.vae.encode(to_model_range(image[None], model)).latent_dist
    return model.to_latents(posterior.mean.float())


def _blending(
    model: TextToImageModel,
    source: torch.Tensor,  # float32 [1, channels, h, w]
    inside: torch.Tensor,  # bool [h, w]
    noise: torch.Tensor,  # float32 [n, channels, h, w], what each image started from
    settings: GenerationSettings,
) -> AfterStep:
    """After every step: the edited latents inside, the source's at the same noise outside."""
    noiser = make_solver(model, settings)
    inside = inside.to(model.device)

    def blend(latents: torch.Tensor, following: torch.Tensor, which: slice) -> torch.Tensor:
        own = source.expand(latents.shape)
        if float(following) >= 0:
            start = noise[which].to(model.device)
            own = noiser.add_noise(own, start, following.reshape(1).expand(len(latents)))
        return torch.where(inside, latents, own.to(latents.dtype))

    return blend


def _error(images: torch.Tensor, image: torch.Tensor, where: torch.Tensor) -> float:
    """Mean absolute difference [n, 3, h, w] to [3, h, w] where a mask holds, levels of 255."""
    difference = (images.float() - image.float()).abs()
    return float(difference[..., where].mean())
