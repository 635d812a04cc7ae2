"""Whether the models of a run file belong together: scorer and judge are for a kind of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import PurePath
from typing import Any

from coti.core.errors import ConfigError
from coti.settings.presets import PRESETS, preset_values, says, with_preset
from coti.settings.run import RunSettings, flat

__all__ = ["require_matching_models"]

_BUNDLED = "assets/models/"
"""Where the defaults' models lie, which belong together."""
_BASE = "model.base_model"
_MEASURE = ("scorer.", "aesthetic.", "evaluation.")
"""Parts whose models look at what the base model generates, in every run."""


def require_matching_models(values: Mapping[str, Any]) -> None:
    """Refuse another base model than the default's where scorer or judge are only left as they are.

    Args:
        values: what stands under ``parameters: config:`` of a run file, its preset not yet taken.
            A key that stands there is the user's own choice, the bundled model's path, too.

    Raises:
        ConfigError: names the keys and the preset that fits.
    """
    written = flat(with_preset(values))
    bundled = _bundled()
    base = str(written.get(_BASE, bundled[_BASE]))
    if _is_at(base, bundled[_BASE]):
        return
    left = [key for key in bundled if key.startswith(_MEASURE) and key not in written]
    if left:
        raise ConfigError(
            f"{_BASE} is {base!r}, but {', '.join(left)} are left at those of preset bundled "
            f"({says('bundled').rstrip('.')}): set preset: {_fitting(base, written)}, or these "
            "keys to models of your own."
        )


@cache
def _bundled() -> dict[str, str]:
    defaults = flat(asdict(RunSettings()))
    return {key: value for key, value in defaults.items() if str(value).startswith(_BUNDLED)}


def _is_at(name: str, below: str) -> bool:
    """Whether a path is that of the bundled model, from wherever it starts."""
    parts = PurePath(below).parts
    return PurePath(name).parts[-len(parts) :] == parts


def _fitting(base: str, written: Mapping[str, Any]) -> str:
    """The preset of this base model or of its ``config``; else all for other models than ours."""
    known = {name: flat(preset_values(name)).get(_BASE) for name in PRESETS}
    same = [name for name, model in known.items() if model == base]
    config = str(written.get("model.config") or "")
    same = same or [name for name in PRESETS if config.partition("-")[0] == name]
    *others, last = [name for name, model in known.items() if model]
    return same[0] if same else f"{', '.join(others)} or {last}"
