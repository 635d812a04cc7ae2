"""Families by name, imported when asked for; :func:`register_family` adds one from outside."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from coti.core.errors import ModelError
from coti.inversion.families.protocol import ModelFamily, embedding_keys

__all__ = [
    "architectures",
    "families",
    "family_of_index",
    "family_with_keys",
    "recognise",
    "register_family",
]

FAMILIES: dict[str, str] = {
    "stable_diffusion": "coti.inversion.families.stable_diffusion:StableDiffusion",
    "stable_diffusion_xl": "coti.inversion.families.stable_diffusion_xl:StableDiffusionXL",
}
"""Name to ``module:class``."""


def register_family(name: str, target: str) -> None:
    """Add a family, or replace the one of that name; the latest is asked first.

    Args:
        name: of the family.
        target: ``module:class``, importable when a model is loaded.
    """
    FAMILIES.pop(name, None)
    FAMILIES[name] = target


def families() -> dict[str, ModelFamily]:
    """All families by name, the latest registered first.

    >>> list(families())[-1]
    'stable_diffusion'
    """
    return {name: _family(target) for name, target in reversed(FAMILIES.items())}


@cache
def _family(target: str) -> ModelFamily:
    module, _, name = target.partition(":")
    family: ModelFamily = getattr(import_module(module), name)()
    return family


def family_of_index(index: Mapping[str, Any], name: str) -> ModelFamily:
    """The family of a diffusers folder.

    Args:
        index: its ``model_index.json``.
        name: what the user called the model.

    Raises:
        ModelError: no family reads it.

    >>> family_of_index({"unet": [], "text_encoder": [], "text_encoder_2": []}, "mine").pipeline
    'StableDiffusionXLPipeline'
    """
    for family in families().values():
        if family.reads(index):
            return family
    known = ", ".join(family.pipeline for family in families().values())
    raise ModelError(
        f"{name} is a {index.get('_class_name', 'model of no known kind')}, which no family of "
        f"base models here reads; give one for {known}."
    )


def family_with_keys(keys: tuple[str, ...]) -> ModelFamily | None:
    """The family whose embedding files have these keys; () is a file of one key, the token."""
    for family in families().values():
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
    for family in reversed(families().values()):
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
    for family in families().values():
        if (found := family.recognise(shapes, name)) is not None:
            return found
    raise ModelError(
        f"{name} is no checkpoint of {', '.join(architectures())} with all its parts: give one "
        "with UNet, autoencoder and text encoder, or name a diffusers folder that describes it in "
        "model.config."
    )
