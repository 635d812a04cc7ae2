"""How a run generates with what it learned stands in the embedding's own file, so that whoever
generates with it later, from a file, a run or the registry, does likewise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from coti.core.errors import ConfigError
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.adapters.protocol import Adapter
from coti.settings import GenerationSettings
from coti.settings.from_yaml import parse_settings
from coti.settings.presets import preset_for

__all__ = [
    "UNRECORDED",
    "differ",
    "sampling_settings",
    "settings_of",
    "usual_settings",
    "with_settings",
]

Learned = TypeVar("Learned", bound=Adapter)
_KEY = "coti_generation"
UNRECORDED = {
    "batch_size": "an image depends on its own noise and prompt only",
    "phi_images": "how many images, not how one is generated",
    "cycle_images": "how many images, not how one is generated",
    "sample_images": "how many images, not how one is generated",
    "prompts": "an image's own is recorded, filled in",
}
"""Fields of :class:`coti.settings.GenerationSettings` that change no pixel of an image, and why."""


def sampling_settings(settings: GenerationSettings) -> dict[str, Any]:
    """The settings that an image's pixels depend on, by name: all but :data:`UNRECORDED`.

    >>> sampling_settings(GenerationSettings(guidance_scale=7.5))["guidance_scale"]
    7.5
    """
    names = (each.name for each in fields(settings))
    return {name: getattr(settings, name) for name in names if name not in UNRECORDED}


def with_settings(learned: Learned, settings: GenerationSettings) -> Learned:
    """What was learned, whose file will say how its run generated: steps, guidance, scheduler."""
    said = json.dumps(sampling_settings(settings), sort_keys=True)
    return learned.with_parts(learned.parts, **{_KEY: said})


def settings_of(
    embeddings: Sequence[Embedding], widths: Sequence[int]
) -> tuple[GenerationSettings, Embedding | None]:
    """Those of the first embedding whose file says any, and which it is; else what fits the model.

    Args:
        embeddings: may be none.
        widths: of the base model's text encoders, one each
            (:attr:`coti.inversion.base_model.TextToImageModel.widths`): its preset's settings hold
            where no file says any, and the defaults where no preset is of these.
    """
    found = next(iter(_said(embeddings)), None)
    return (usual_settings(widths), None) if found is None else found


def differ(embeddings: Sequence[Embedding], given: Mapping[str, Any]) -> bool:
    """Whether the runs that learned these generated differently, as far as their files say, in
    what is not ``given``, fields of :class:`coti.settings.GenerationSettings`."""
    return len({replace(settings, **given) for settings, _ in _said(embeddings)}) > 1


def usual_settings(widths: Sequence[int]) -> GenerationSettings:
    """How a base model is generated with where nobody says how: as its preset says, if one is for
    text encoders of these widths; else the defaults.

    >>> usual_settings((768,)).guidance_scale, usual_settings((7,)).guidance_scale
    (7.5, 1.5)
    """
    preset = preset_for(widths)
    if preset is None:
        return GenerationSettings()
    return parse_settings({"preset": preset, "concept": "any"}, f"preset {preset}").generation


def _said(embeddings: Sequence[Embedding]) -> list[tuple[GenerationSettings, Embedding]]:
    found = ((_read(each.metadata.get(_KEY, "")), each) for each in embeddings)
    return [(settings, each) for settings, each in found if settings is not None]


def _read(said: str) -> GenerationSettings | None:
    """None where it is not what :func:`with_settings` writes: another program may write there."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(GenerationSettings).validate_json(said)
    except (ValidationError, ConfigError):
        return None
