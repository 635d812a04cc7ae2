"""From what a user holds (a pipeline, images, a few words) to what the loop works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
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
from coti.pool.references import of_half, read_references
from coti.settings import ModelSettings, RunSettings
from coti.settings.from_yaml import parse_settings
from coti.settings.presets import PRESETS, merged, preset_for
from coti.settings.run import flat

__all__ = [
    "NEVER_JUDGED",
    "NEVER_READ",
    "ImagesOrFolder",
    "PoolLike",
    "Token",
    "pool_of",
    "preset_of",
    "references_of",
    "seeds_of",
    "settings_of",
]

ImagesOrFolder: TypeAlias = str | Path | Sequence[Image.Image]
"""A folder of images, or Pillow images."""
PoolLike: TypeAlias = ImagesOrFolder | PoolSource
"""These, any other place that ``pool`` may be in a run file, or a source of your own."""

Token: TypeAlias = str | Mapping[str, Any]
"""The new word, or keys of a run file's ``token``."""

NEVER_READ = {
    "ground_truth": "it measures a benchmark's run, and nothing here reads it",
    "measurement": "it measures an experiment's run, and nothing here reads it",
    "promotion": "no embedding is registered here",
    "output": "nothing is written here: save what you get",
    **{
        f"model.{each.name}": "the model is the pipeline's: load and move that as you want it"
        for each in fields(ModelSettings)
        if each.name != "deterministic"
    },
}
"""Keys of a run file that nothing reads that is called from Python, and why."""
NEVER_JUDGED = {**NEVER_READ, "references": "nothing is judged here: coti.learn takes them"}
"""And where nothing is generated."""


def preset_of(model: TextToImageModel) -> str:
    """The preset whose scorers, judges and schedule belong to a model of this kind.

    Raises:
        ConfigError: there is none.
    """
    found = preset_for(model.widths)
    if found is None:
        raise ConfigError(
            f"pipe ({model.name}) is of no kind that a preset is for: give preset=, one of "
            f"{', '.join(PRESETS)}, or settings=."
        )
    return found


def settings_of(
    caller: str,  # how the user called us, for errors
    preset: str | None,  # not beside settings
    settings: RunSettings | None,
    keys: Mapping[str, Any],
    *,
    concept: str,
    token: Token | None = None,
    initializer: str | None = None,
    refused: Mapping[str, str] = NEVER_READ,  # dotted keys that may not be given, and why
) -> RunSettings:
    """The run's settings, of a preset and the user's keys or of a whole configuration; files found.

    Raises:
        ConfigError: a key is unknown, refused or wrong, or both are given.
    """
    own = {"placeholder_token": token} if isinstance(token, str) else dict(token or {})
    if initializer is not None:
        own["initializer"] = initializer
    for key in flat(keys):
        for name in (key, key.partition(".")[0]):
            if name in refused:
                raise ConfigError(f"{caller}: {name} cannot be given: {refused[name]}.")
    if not concept.strip():
        raise ConfigError(f"{caller}: concept is empty: name it, such as 'penguin chick'.")
    if settings is None:
        given = {"preset": preset, **keys, "concept": concept, "token": own}
        found = parse_settings(given, caller)
    elif beside := [*(["preset"] if preset else []), *keys]:
        raise ConfigError(
            f"{caller}: settings= is a whole configuration, so {', '.join(beside)} cannot be given "
            "beside it: change it with dataclasses.replace, or leave settings= out."
        )
    else:
        whole = {"token": merged(asdict(settings.token), own)}
        found = replace(settings, concept=concept, token=parse_settings(whole, caller).token)
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


def references_of(given: ImagesOrFolder, side: int, run: RunSettings) -> torch.Tensor:
    """Those that ``evaluation.references_half`` means: uint8 [n, 3, side, side].

    Raises:
        PoolError: there are none, or one cannot be used.
    """
    fit, half = run.images.rule, run.evaluation.references_half
    if isinstance(given, str | Path):
        return read_references(find_file(str(given)), side, fit, half)
    images = seeds_of(given, side, fit, "references").images
    return of_half(half, images.names, images.images, "references")


def pool_of(given: PoolLike) -> str | PoolSource:
    """A place by its name, or a source; lists are one."""
    if isinstance(given, str | Path):
        return find_file(str(given))
    if isinstance(given, Sequence):
        return ImagesInMemory(cast(Sequence[Image.Image], given))
    return given
