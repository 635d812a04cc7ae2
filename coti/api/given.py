"""From what a user holds (a pipeline, images, a few words) to what the loop works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from PIL import Image

from coti.core.checkout import find_file
from coti.core.errors import ConfigError, PoolError
from coti.core.fitting import Fit
from coti.core.image_set import ImageSet
from coti.core.images import from_pil
from coti.core.whole_files import tensor_hash
from coti.inversion.base_model import TextToImageModel
from coti.loop.load_models import located_settings
from coti.pool.concept_data import Seeds, read_seeds
from coti.pool.entry import PoolSource
from coti.pool.images_in_memory import ImagesInMemory, names_of
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings
from coti.settings.presets import PRESETS, merged

__all__ = ["ImagesOrFolder", "PoolLike", "pool_of", "preset_of", "seeds_of", "settings_of"]

ImagesOrFolder: TypeAlias = str | Path | Sequence[Image.Image]
"""A folder of images, or Pillow images."""
PoolLike: TypeAlias = ImagesOrFolder | PoolSource
"""These, any other place that ``pool`` may be in a run file, or a source of your own."""

_PRESETS = {(768,): "sd15", (1024,): "sd2", (768, 1280): "sdxl", (128,): "bundled"}
"""By the widths of the text encoders."""


def preset_of(model: TextToImageModel) -> str:
    """The preset whose scorers, judges and schedule belong to a model of this kind.

    Raises:
        ConfigError: there is none.
    """
    if model.widths not in _PRESETS:
        raise ConfigError(
            f"pipe ({model.name}) is of no kind that a preset is for: give preset=, one of "
            f"{', '.join(PRESETS)}, or settings=."
        )
    return _PRESETS[model.widths]


def settings_of(
    caller: str,  # how the user called us, for errors
    preset: str,
    settings: RunSettings | None,
    keys: Mapping[str, Any],
    *,
    concept: str,
    token: str | None = None,
    initializer: str | None = None,
) -> RunSettings:
    """The run's settings, of a preset and the user's keys or of a whole configuration; files found.

    Raises:
        ConfigError: a key is unknown or wrong, or both are given.
    """
    named = {"placeholder_token": token, "initializer": initializer}
    own: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if not concept.strip():
        raise ConfigError(f"{caller}: concept is empty: name it, such as 'penguin chick'.")
    if settings is None:
        given = merged({"preset": preset, **keys}, {"concept": concept, "token": own})
        found = parse_settings(given, caller)
    elif keys:
        raise ConfigError(
            f"{caller}: settings= is a whole configuration, so {', '.join(keys)} cannot be given "
            "beside it: change it with dataclasses.replace, or leave settings= out."
        )
    else:
        found = replace(settings, concept=concept, token=replace(settings.token, **own))
    return located_settings(found, find_file)


def seeds_of(given: ImagesOrFolder, side: int, fit: Fit, what: str = "seeds") -> Seeds:
    """Images of a folder or of a list, ``side`` pixels a side, by ``fit``.

    Raises:
        PoolError: there are none, or one cannot be used.
    """
    if isinstance(given, str | Path):
        return read_seeds(find_file(str(given)), side, fit)
    if not given:
        raise PoolError(f"{what} is an empty list: give images, or the path of a folder.")
    names = names_of(given, what)
    images = from_pil(given, side, fit)
    ids = [f"{tensor_hash(image)}-{place}" for place, image in enumerate(images)]
    return Seeds(ImageSet(ids, images), dict(zip(ids, names, strict=True)))


def pool_of(given: PoolLike) -> str | PoolSource:
    """A place by its name, or a source; lists are one."""
    if isinstance(given, str | Path):
        return find_file(str(given))
    if isinstance(given, Sequence):
        return ImagesInMemory(cast(Sequence[Image.Image], given))
    return given
