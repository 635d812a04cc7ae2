"""Families by name; from outside: ``FAMILIES.register("mine", "my.module:MyFamily")``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coti.core.errors import ModelError
from coti.core.registry import Registry
from coti.inversion.families.protocol import ModelFamily, embedding_keys

__all__ = [
    "FAMILIES",
    "architectures",
    "families",
    "family_of_index",
    "family_of_pipeline",
    "family_with_keys",
    "recognise",
]

FAMILIES = Registry[type[ModelFamily]](
    "model family",
    {
        "stable_diffusion": "coti.inversion.families.stable_diffusion:StableDiffusion",
        "stable_diffusion_xl": "coti.inversion.families.stable_diffusion_xl:StableDiffusionXL",
    },
    ModelFamily,
)


def families() -> list[ModelFamily]:
    """One of each family, the latest registered first, as it is asked first.

    >>> families()[-1].pipeline
    'StableDiffusionPipeline'
    """
    return [FAMILIES.get(name)() for name in reversed(FAMILIES.names())]


def family_of_index(index: Mapping[str, Any], name: str) -> ModelFamily:
    """The family of a diffusers folder with this ``model_index.json``.

    Raises:
        ModelError: no family reads it.

    >>> family_of_index({"unet": [], "text_encoder": [], "text_encoder_2": []}, "mine").pipeline
    'StableDiffusionXLPipeline'
    """
    for family in families():
        if family.reads(index):
            return family
    known = ", ".join(family.pipeline for family in families())
    raise ModelError(
        f"{name} is a {index.get('_class_name', 'model of no known kind')}, which no family of "
        f"base models here reads; give one for {known}."
    )


def family_of_pipeline(pipe: Any) -> ModelFamily:
    """The family of a diffusers pipeline in memory.

    Raises:
        ModelError: it is no text-to-image pipeline, or no family reads it.
    """
    index, kind = getattr(pipe, "config", None), type(pipe).__name__
    if not isinstance(index, Mapping) or "unet" not in index:
        raise ModelError(
            f"pipe is a {kind}, which is no text-to-image pipeline of diffusers: give one, such as "
            "StableDiffusionPipeline.from_pretrained(…)."
        )
    return family_of_index(index, f"pipe, a {kind},")


def family_with_keys(keys: tuple[str, ...]) -> ModelFamily | None:
    """The family whose embedding files have these keys; () is a file of one key, the token."""
    for family in families():
        if embedding_keys(family) == keys:
            return family
    return None


def architectures() -> dict[str, Mapping[str, Any]]:
    """The published shapes of all families by name.

    ``sd15`` (and 1.4), ``sd2-base`` (2.0 and 2.1 at 512²), ``sd2`` (2.0 and 2.1 at 768²,
    v-prediction), ``sdxl``.

    >>> list(architectures())[:3]
    ['sd15', 'sd2-base', 'sd2']
    """
    found: dict[str, Mapping[str, Any]] = {}
    for family in reversed(families()):
        found |= family.architectures
    return found


def recognise(path: Path, name: str) -> str:
    """Which of :func:`architectures` a single-file checkpoint is, from its header alone.

    Raises:
        ModelError: none of them, or one of two that look alike.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{name} is damaged or no safetensors file: {error}. Fetch it again."
        ) from error
    for family in families():
        if (found := family.recognise(shapes, name)) is not None:
            return found
    raise ModelError(
        f"{name} is no checkpoint of {', '.join(architectures())} with all its parts: give one "
        "with UNet, autoencoder and text encoder, or name a diffusers folder that describes it in "
        "model.config."
    )
