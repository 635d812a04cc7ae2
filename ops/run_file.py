"""The run file that ZenML reads, checked as a whole: ZenML ignores unknown keys silently."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from coti.core.errors import ConfigError
from coti.encoders.registry import ENCODERS
from coti.loop.plan import effective
from coti.pool.sources import POOL_SOURCES
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings, read_yaml
from coti.settings.matching_models import require_matching_models
from ops.stack.locations import ROOT, run_folder

__all__ = ["QUICKSTART", "check_parameters", "check_run_file", "load_settings"]

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
"""What `zenml pipeline run coti_concept` runs without a file."""


def check_parameters(path: Path) -> dict[str, Any]:
    """Check a run file's frame before ZenML reads it; returns the values of our parameter.

    Raises:
        ConfigError: A key is unknown, or the file is no YAML mapping.
    """
    from zenml.config.pipeline_run_configuration import PipelineRunConfiguration

    content = read_yaml(path)
    for key in content:
        if key not in PipelineRunConfiguration.model_fields:  # ZenML ignores it silently
            raise ConfigError(
                f"{path}: unknown top-level key {key!r}; settings of COTI belong under "
                "parameters: config:."
            )
    _check_run_name(path, content.get("run_name"))
    parameters = content.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ConfigError(f"{path}: `parameters` must be a mapping with the key 'config'.")
    unknown = sorted(set(parameters) - {"config"})
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {unknown[0]!r} under parameters; settings of COTI belong under "
            "parameters: config:."
        )
    values = parameters.get("config") or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: parameters.config must be a mapping of settings.")
    return values


def _check_run_name(path: Path, name: object) -> None:
    """ZenML puts the date for ``{date}`` and the time for ``{time}``; the rest is a folder's."""
    if name is None:
        return
    if not isinstance(name, str):
        raise ConfigError(f"{path}: run_name must be a text, not {name!r}: put it into quotes.")
    try:
        run_folder("outputs", re.sub(r"\{\w+\}", "0", name))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def check_run_file(path: Path) -> RunSettings:
    """Check the whole run file before ZenML reads it; returns its settings.

    Raises:
        ConfigError: A key is unknown or missing, a value is wrong, or the file is no YAML mapping.
    """
    values = check_parameters(path)
    settings = parse_settings(values, str(path))
    try:
        require_matching_models(values)
        _check_names(settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for name in ("concept", "seeds", "pool"):
        if not getattr(settings, name).strip():
            raise ConfigError(f"{path}: {name} is missing: a run needs concept, seeds and pool.")
    return settings


def _check_names(settings: RunSettings) -> None:
    """Everything that is found by name in a registry, before anything is computed."""
    if settings.concept_score.encoder != "scorer":
        ENCODERS.check(settings.concept_score.encoder)
    if settings.pool_rules.kind != "auto":
        POOL_SOURCES.check(settings.pool_rules.kind)
    effective(settings)


def load_settings(path: Path | None = None) -> RunSettings:
    """The settings of a run file; of :data:`QUICKSTART` without one."""
    return check_run_file(path or QUICKSTART)
