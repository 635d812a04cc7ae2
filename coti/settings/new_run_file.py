"""A new concept's run file: few keys, each with what it is, and what may be added in comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from coti.core.errors import ConfigError
from coti.core.plain_yaml import load_yaml
from coti.settings.from_yaml import parse_settings

__all__ = ["new_run_file"]

_PAGE = """\
# A concept to learn, written by `coti init`. All keys and their defaults: docs/configuration.md.
parameters:
  config:
    preset: {preset}  # models, scorers, judges and schedule that belong together
    concept: {concept}  # names the experiment and the registered model
    seeds: {seeds}  # {seen}
    pool: {pool}  # candidates as they were found
    # Images of the concept that nothing is trained on; without them nothing is promoted.
    # references: {references}
    token:
      placeholder_token: {token}  # the new word
      initializer: {initializer}  # where it starts: one token of the model, near the concept
    # How images become squares (crop cuts around a focus, pad keeps them whole).
    # images:
    #   fit: crop
    #   focus: top
    # What R-precision must tell it from; the concept's own name is added.
    # evaluation:
    #   captions: [{example}]
    # Any other key, for example how many cycles follow the first:
    # controller:
    #   max_cycles: 5
"""


def new_run_file(
    *, preset: str, concept: str, seeds: str, pool: str, token: str, initializer: str, seen: str
) -> str:
    """The text of a run file that means these values.

    Args:
        preset: one of :data:`coti.settings.presets.PRESETS`.
        concept: its name.
        seeds: the folder, as a run finds it.
        pool: likewise, or an address.
        token: the new word.
        initializer: a word, or a file.
        seen: a line on the seeds, for a comment.

    Raises:
        ConfigError: a value is none that a run takes, or no file can hold it.
    """
    values: dict[str, Any] = {
        "preset": preset,
        "concept": concept,
        "seeds": seeds,
        "pool": pool,
        "token": {"placeholder_token": token, "initializer": initializer},
    }
    for name in ("concept", "seeds", "pool"):
        if not values[name].strip():
            raise ConfigError(f"coti init: {name} is missing: a run needs concept, seeds and pool.")
    parse_settings(values, "coti init")
    given = {"concept": concept, "seeds": seeds, "pool": pool, "token": token}
    text = _PAGE.format(
        **{key: _written(value) for key, value in given.items()},
        initializer=_written(initializer),
        preset=preset,
        seen=seen,
        references="data/held_out",
        example="duck, chicken, seagull",
    )
    if not _means(text, values):
        raise ConfigError(
            "coti init: a name in it cannot stand in a text file: give the concept, the token and "
            "the folders names of letters, digits and signs."
        )
    return text


def _written(value: str) -> str:
    """A text as a value in a line of YAML."""
    dumped: str = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=2**31 - 1
    )
    return dumped.removesuffix("\n").removesuffix("\n...")


def _means(text: str, values: Mapping[str, Any]) -> bool:
    try:
        text.encode()
        return bool(load_yaml(text) == {"parameters": {"config": values}})
    except ValueError:
        return False
