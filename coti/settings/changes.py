"""Changes of a run file from a command line, ``train.max_steps=200``: the file's own rules hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coti.core.errors import ConfigError
from coti.core.plain_yaml import load_yaml
from coti.settings.from_yaml import parse_settings
from coti.settings.matching_models import require_matching_models
from coti.settings.presets import merged

__all__ = ["changed", "changed_run_file"]


def changed(values: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A run file's values with ``key.path=value`` changes, a later one over an earlier one.

    A value is read as it would be in the file. Whether there is such a key, and whether the value
    fits, is for :func:`coti.settings.from_yaml.parse_settings` to say.

    Raises:
        ConfigError: a change is not ``KEY=VALUE``, or its value is no YAML.

    >>> changed({"train": {"batch_size": 4}}, ["train.max_steps=200", "seed=1"])
    {'train': {'batch_size': 4, 'max_steps': 200}, 'seed': 1}
    """
    both = dict(values)
    for change in changes:
        key, equals, text = change.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"--set {change!r} is not KEY=VALUE, such as train.max_steps=200.")
        try:
            value = load_yaml(text)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: cannot be read as YAML: {error}.") from error
        for part in reversed(parts):
            value = {part: value}
        both = merged(both, value)
    return both


def changed_run_file(
    content: Mapping[str, Any], changes: Sequence[str], origin: str
) -> dict[str, Any]:
    """What a run file says, with changes of the settings under its ``parameters: config:``.

    Raises:
        ConfigError: names ``origin`` and the key or value that is wrong.
    """
    parameters = content.get("parameters") or {}
    values = parameters.get("config") or {} if isinstance(parameters, Mapping) else None
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin}: settings of COTI belong under parameters: config:.")
    values = changed(values, changes)
    parse_settings(values, f"{origin} with {' '.join(f'--set {each}' for each in changes)}")
    require_matching_models(values)
    return {**content, "parameters": {**parameters, "config": values}}
