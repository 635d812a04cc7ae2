"""The whole configuration as one validated object: what stands under ``parameters.config``.

The parts are the dataclasses of :mod:`coti.settings`; their prose is the reference.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from coti.core.errors import ConfigError, CotiError
from coti.encoders.registry import ENCODERS
from coti.settings import (
    AestheticSettings,
    ConceptScoreSettings,
    ControllerSettings,
    EvaluationSettings,
    GenerationSettings,
    ModelSettings,
    PoolSettings,
    PromotionSettings,
    ScheduleSettings,
    ScorerSettings,
    SelectionSettings,
    Strategy,
    TokenSettings,
    TrainSettings,
)
from ops.stack.locations import ROOT

__all__ = [
    "QUICKSTART",
    "CotiConfig",
    "check_parameters",
    "check_run_file",
    "load_config",
    "sentences",
]

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
"""What `zenml pipeline run coti_concept` runs without a file."""

RUN_FILE_KEYS = frozenset(
    {
        "build",
        "cache_policy",
        "enable_artifact_metadata",
        "enable_artifact_visualization",
        "enable_cache",
        "enable_heartbeat",
        "enable_pipeline_logs",
        "enable_step_logs",
        "environment",
        "execution_mode",
        "extra",
        "model",
        "parameters",
        "retry",
        "run_name",
        "schedule",
        "secrets",
        "settings",
        "steps",
        "tags",
    }
)
"""Top-level keys that ZenML understands in a run file; it ignores all others silently."""


class CotiConfig(BaseModel):
    """One run of COTI. Relative paths start at the root of the repository."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concept: str
    """The concept's name: names the MLflow experiment and the registered model."""
    seeds: str
    """Folder of about ten good images of the concept."""
    pool: str
    """The messy web pool: a folder, tar shards, a table of URLs, or an ``s3://`` prefix."""
    references: str | None = None
    """Folder of held-out real images for the metrics; without it they are left out."""
    ground_truth: str | None = None
    """Ground truth of a benchmark pool, read by the metric ``selection_precision`` alone."""
    strategy: Strategy = "coti"
    baseline_images: int = 150
    """Images that ``random`` adds to the seeds; all baselines have the same cap of steps."""
    seed: int = 0
    model: ModelSettings = ModelSettings()
    token: TokenSettings = TokenSettings()
    pool_rules: PoolSettings = PoolSettings()
    scorer: ScorerSettings = ScorerSettings()
    aesthetic: AestheticSettings = AestheticSettings()
    concept_score: ConceptScoreSettings = ConceptScoreSettings()
    selection: SelectionSettings = SelectionSettings()
    train: TrainSettings = TrainSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    generation: GenerationSettings = GenerationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    controller: ControllerSettings = ControllerSettings()
    promotion: PromotionSettings = PromotionSettings()
    output: str = "outputs"
    """Folder for what a person reads: ``<output>/<run>`` and ``<output>/latest``."""

    def fingerprint(self) -> str:
        """Hash of every setting that can change a result, 16 hex digits."""
        values = self.model_dump(mode="json", exclude={"output", "promotion"})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def sentences(error: ValidationError) -> str:
    """Turn pydantic's list of errors into one line each, with the remedy."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"unknown key {key!r}: remove it or mend its spelling")
        else:
            lines.append(f"{key}: {item['msg']} (got {item.get('input')!r})")
    return "; ".join(lines)


def parse_config(values: dict[str, Any], origin: str) -> CotiConfig:
    """Validate ``values``; raises :class:`ConfigError` that names every wrong key."""
    try:
        config = CotiConfig.model_validate(values)
        if config.concept_score.encoder != "scorer":
            ENCODERS.check(config.concept_score.encoder)
        return config
    except ValidationError as error:
        raise ConfigError(f"{origin}: {sentences(error)}.") from error
    except CotiError as error:
        raise ConfigError(f"{origin}: {error}") from error


def read_run_file(path: Path) -> dict[str, Any]:
    """Read a ZenML run file and check its top-level keys."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping with the key `parameters`.")
    for key in content:
        if key not in RUN_FILE_KEYS:
            raise ConfigError(
                f"{path}: unknown top-level key {key!r}; settings of COTI belong under "
                "parameters: config:."
            )
    return content


def check_parameters(path: Path, parameter: str = "config") -> dict[str, Any]:
    """Check a run file's frame before ZenML reads it; returns the values of our parameter.

    Raises:
        ConfigError: A key is unknown, or the file is no YAML mapping.
    """
    parameters = read_run_file(path).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ConfigError(f"{path}: `parameters` must be a mapping with the key {parameter!r}.")
    unknown = sorted(set(parameters) - {parameter})
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {unknown[0]!r} under parameters; settings of COTI belong under "
            f"parameters: {parameter}:."
        )
    values = parameters.get(parameter) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: parameters.{parameter} must be a mapping of settings.")
    return values


def check_run_file(path: Path, parameter: str = "config") -> CotiConfig:
    """Check the whole run file before ZenML reads it; returns its configuration.

    Raises:
        ConfigError: A key is unknown, a value is wrong, or the file is no YAML mapping.
    """
    return parse_config(check_parameters(path, parameter), str(path))


def load_config(path: Path | None = None) -> CotiConfig:
    """The configuration of a run file; of :data:`QUICKSTART` without one."""
    return check_run_file(path or QUICKSTART)
