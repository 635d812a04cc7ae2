"""The frozen text-to-image model, of whatever family, on its device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from coti.core.errors import ModelError
from coti.core.out_of_memory import out_of_memory_at
from coti.core.quiet_libraries import quiet_libraries
from coti.core.shared_context import entered_once
from coti.inversion.device import choose_device, choose_dtype, unet_format
from coti.inversion.families.protocol import ModelFamily, embedding_keys, takes_more_than_latents
from coti.inversion.model_files import ModelParts, locate_model, read_folder, read_single_file
from coti.settings import ModelSettings

__all__ = [
    "TextToImageModel",
    "frozen_model",
    "load_text_to_image",
    "origin_of",
    "training_attention",
    "vae_dtype",
]

_FEW_POSITIONS = 1024
"""Latents up to which attention's table of all pairs is small; 32x32 of them."""


@dataclass(frozen=True)
class TextToImageModel:
    """Everything that generates, frozen."""

    name: str
    """What the user called it."""
    family: ModelFamily
    """What it does differently from models of other families."""
    vae: Any
    unet: Any
    tokenizers: tuple[Any, ...]
    text_encoders: tuple[Any, ...]
    scheduler_config: dict[str, Any]
    """Of the noise schedule it was trained with."""
    resolution: int
    """Pixels of a side."""
    device: torch.device
    dtype: torch.dtype
    """Of the UNet and the text encoders; the autoencoder's may differ (``vae.dtype``)."""
    fingerprint: str
    """Changes with any weight or setting of the model."""
    in_memory: bool = False
    """Whether it came as a pipeline: its fingerprint is then of weights in memory, which no folder
    of the same model has."""
    empty_prompt_is_zero: bool = False
    """Guidance takes zeros in place of an encoded empty negative prompt."""
    deterministic: bool = True
    """Whether training and generating take torch's deterministic algorithms."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """What else finds it again beside its name: ``revision``, ``sha256``, ``config``, as given."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image's latents."""
        side = self.resolution // self.downscale
        return (self.vae.config.latent_channels, side, side)

    @property
    def downscale(self) -> int:
        """Pixels of a side for one latent of a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers in an embedding's vector, one count a text encoder."""
        return tuple(
            encoder.get_input_embeddings().weight.shape[1] for encoder in self.text_encoders
        )

    @property
    def embedding_keys(self) -> tuple[str, ...]:
        """Keys of an embedding's parts in its file; () for the placeholder token."""
        return embedding_keys(self.family)

    @property
    def unet_format(self) -> torch.memory_format:
        """Memory format of the UNet and its input: whichever its device computes faster in."""
        return unet_format(self.device, self.dtype)

    def to_latents(self, raw: torch.Tensor) -> torch.Tensor:
        """The autoencoder's raw latents [n, channels, h, w], scaled as the UNet takes them."""
        return self.family.to_latents(self.vae, raw)

    def from_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`to_latents`."""
        return self.family.from_latents(self.vae, latents)

    @property
    def prediction_type(self) -> str:
        """``epsilon`` or ``v_prediction``."""
        return str(self.scheduler_config.get("prediction_type", "epsilon"))


def load_text_to_image(settings: ModelSettings) -> TextToImageModel:
    """Load the base model, frozen and ready on its device.

    Raises:
        ModelError: the folder isn't a diffusers model, a single file isn't one of a known shape,
            a part is missing or broken, a pinned hash differs, or the hub can't be reached,
            doesn't have it, or wants a license accepted first.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    source = locate_model(settings)
    with quiet_libraries():
        if source.is_file():
            parts = read_single_file(source, settings.base_model, settings.config)
        else:
            parts = read_folder(source, settings.base_model)
        return frozen_model(
            parts,
            settings.base_model,
            device,
            dtype,
            deterministic=settings.deterministic,
            origin=origin_of(settings),
        )


def origin_of(settings: ModelSettings) -> dict[str, str]:
    """What finds a base model again beside its name."""
    named = {name: getattr(settings, name) for name in ("revision", "sha256", "config")}
    return {name: value for name, value in named.items() if value}


def vae_dtype(vae: Any, dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The autoencoder's precision in a model of ``dtype``.

    fp16 overflows in some autoencoders, which say so themselves; on a CPU half precision gains the
    autoencoder little and costs levels of grey.
    """
    overflows = dtype == torch.float16 and getattr(vae.config, "force_upcast", True)
    return torch.float32 if overflows or device.type == "cpu" else dtype


def frozen_model(
    parts: ModelParts,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    deterministic: bool = True,
    origin: Mapping[str, str] | None = None,
) -> TextToImageModel:
    """The parts, frozen and moved, as what generates.

    Raises:
        ModelError: no textual inversion is defined for what it predicts, or it takes more than
            latents.
    """
    vae, unet = parts.vae, parts.unet
    prediction = parts.scheduler_config.get("prediction_type", "epsilon")
    if prediction not in parts.family.predictions:
        raise ModelError(
            f"{name} predicts {prediction!r}: textual inversion is defined here for "
            f"{' and '.join(parts.family.predictions)} models of its family."
        )
    if unet.config.in_channels != vae.config.latent_channels:
        raise takes_more_than_latents(name, unet.config.in_channels)
    encoders = ((encoder, dtype) for encoder in parts.text_encoders)
    half = (
        "" if dtype != torch.float32 else "set model.dtype: bfloat16, which takes half of it, or "
    )
    remedy = f"{half}take a smaller base model or a larger device"
    for module, kind in ((vae, vae_dtype(vae, dtype, device)), (unet, dtype), *encoders):
        with out_of_memory_at(ModelError, f"loading {name}", remedy, module):
            module.requires_grad_(False).eval().to(device=device, dtype=kind)
    vae.to(memory_format=torch.channels_last)
    unet.to(memory_format=unet_format(device, dtype))
    downscale = 2 ** (len(vae.config.block_out_channels) - 1)
    return TextToImageModel(
        name=name,
        family=parts.family,
        vae=vae,
        unet=unet,
        tokenizers=parts.tokenizers,
        text_encoders=parts.text_encoders,
        scheduler_config=parts.scheduler_config,
        resolution=int(unet.config.sample_size) * downscale,
        device=device,
        dtype=dtype,
        fingerprint=parts.fingerprint,
        empty_prompt_is_zero=parts.family.empty_prompt_is_zero(parts.index),
        deterministic=deterministic,
        origin=origin or {},
    )


@contextmanager
def training_attention(model: TextToImageModel) -> Iterator[None]:
    """Attention whose gradient is fast, for forward and backward passes inside.

    On a CPU the gradient of torch's flash attention is slow in half precision: it was 40 % of a
    step of the bundled model. Plain matrix products are faster as long as positions are few.
    """
    height, width = model.latent_shape[1:]
    slow = model.device.type == "cpu" and model.dtype != torch.float32
    if not slow or height * width > _FEW_POSITIONS:
        yield
        return
    with _plain_attention():
        yield


_plain_attention = entered_once(partial(sdpa_kernel, SDPBackend.MATH))
