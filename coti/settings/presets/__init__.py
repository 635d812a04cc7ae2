"""Models and settings that belong together, by one name: the files beside this one.

A preset stands below a run file's own keys, ``preset: sd15`` beside ``concept``. It is no setting:
what is kept and shown of a run is what it came to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from coti.core import text_files
from coti.core.errors import ConfigError

__all__ = ["PRESETS", "merged", "preset_for", "preset_values", "says", "with_preset"]

_FOLDER = Path(__file__).parent
PRESETS = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""Their names."""
_WIDTHS = "widths"
"""What a file says beside settings: of the vectors of its pipelines' text encoders."""

_SAY_WHICH = {
    ("model", "base_model"): ("revision", "sha256", "config"),
    ("scorer", "model"): ("pretrained", "sha256"),
    ("concept_score", "model"): ("pretrained", "sha256"),
    ("aesthetic", "head"): ("head_sha256",),
    ("evaluation", "judge"): ("judge_pretrained", "judge_sha256"),
    ("evaluation", "ssl_judge"): ("ssl_judge_pretrained", "ssl_judge_sha256"),
    ("evaluation", "inception"): ("inception_sha256",),
}
"""A model's key, and the keys of its part that say which weights of it: no other model's."""


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """``first`` overlaid with ``second``, mappings key by key.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    both = dict(first)
    for key, value in second.items():
        old = both.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict)
        both[key] = merged(old, value) if nested else value  # type: ignore[arg-type]
    return both


def with_preset(values: Any) -> Any:
    """A run file's values over those of the preset that they name; any other values as they are.

    Where they name another model than the preset's, its revision, hash and the like are not taken.

    Raises:
        ConfigError: there is no such preset.

    >>> values = with_preset({"preset": "sd15", "train": {"batch_size": 1}})
    >>> values["train"]["batch_size"], values["train"]["max_steps"], "preset" in values
    (1, 1000, False)
    """
    if not isinstance(values, Mapping) or "preset" not in values:
        return values
    own = {key: value for key, value in values.items() if key != "preset"}
    below = preset_values(values["preset"])
    for (part, model), which in _SAY_WHICH.items():
        there, here = below.get(part, {}), own.get(part)
        if isinstance(here, Mapping) and model in here and here[model] != there.get(model):
            kept = {key: value for key, value in there.items() if key not in which}
            below = {**below, part: kept}
    return merged(below, own)


def preset_values(name: object) -> dict[str, Any]:
    """The settings that a preset changes, nested as in a run file.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is not known: there are {', '.join(PRESETS)}.")
    own = {key: value for key, value in _read(str(name)).items() if key != _WIDTHS}
    return dict(with_preset(own))


def preset_for(widths: Sequence[int]) -> str | None:
    """The preset of pipelines whose text encoders' vectors have these widths, by its own word.

    >>> preset_for((768, 1280)), preset_for((32,))
    ('sdxl', None)
    """
    said = (name for name in PRESETS if _read(name).get(_WIDTHS) == list(widths))
    return next(said, None)


def says(name: str) -> str:
    """What a preset is, in a sentence: the first line of its file.

    >>> says("sdxl")
    'Stable Diffusion XL base 1.0 at 1024², the rest as sd15, in smaller batches.'
    """
    text = text_files.read_text(_FOLDER / f"{name}.yaml", "the preset")
    return text.partition("\n")[0].lstrip("# ")


@cache
def _read(name: str) -> dict[str, Any]:
    return text_files.read_yaml(_FOLDER / f"{name}.yaml", "the preset") or {}
