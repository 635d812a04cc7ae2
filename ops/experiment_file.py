"""The configuration of an experiment: what stands under ``parameters.config`` of its run file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from coti.core.errors import ConfigError
from coti.scores.baselines import baseline_label
from coti.settings import CellSettings, ModelSettings, PoolSettings, ScorerSettings
from ops.run_file import check_parameters, sentences
from ops.stack.locations import ROOT

__all__ = [
    "ConceptSource",
    "ExperimentConfig",
    "MadePools",
    "PlannedCell",
    "check_experiment_file",
    "planned_cells",
]

Report = Literal["table1", "table2", "figure3", "figure4", "figure5", "figure6", "ablations"]


class ConceptSource(BaseModel):
    """A concept with data of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concept: str
    seeds: str
    """Folder of about ten good images."""
    pool: str
    references: str | None = None
    """Folder of held-out real images."""
    ground_truth: str | None = None
    """Ground ground_truth, for the oracle and for selection precision alone."""


class MadePools(BaseModel):
    """Pools of the bundled world, made once; the same recipe and seed give the same bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = "default"
    """``default``, or ``alternate``, which is never used for tuning."""
    seed: int = 0
    size: int | None = None
    """Images of a pool; none: the recipe's."""
    folder: str = "outputs/experiments/pools"


class ExperimentConfig(BaseModel):
    """One experiment: rows x concepts x seeds. Relative paths start at the repository's root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extends: str | None = None
    """A YAML file with defaults of all keys below, so that experiments share one setting."""
    name: str
    """Names the result files and the MLflow experiment."""
    report: Report
    """Which page and images are written."""
    title: str
    concepts: tuple[str | ConceptSource, ...]
    """Concepts of the bundled world by name, or with data of their own."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of training, drawing and selection; the pools and the seed images stay."""
    rows: dict[str, dict[str, Any]]
    """A row's name, and how its cells differ from ``cell``."""
    cell: dict[str, Any] = Field(default_factory=dict)
    """Settings of every cell (:class:`coti.settings.CellSettings`)."""
    made_pools: MadePools = MadePools()
    pool_rules: PoolSettings = PoolSettings()
    model: ModelSettings = ModelSettings()
    scorer: ScorerSettings = ScorerSettings()
    parallel: int = Field(2, ge=1)
    """Cells at once, each a process with ``cell.threads`` threads; on a cluster, pods at once."""
    results: str = "docs/results"
    """Folder of CSV, Markdown and PNG."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not values.get("extends"):
            return values
        path = ROOT / str(values["extends"])
        try:
            shared = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"extends: {path} cannot be read as YAML: {error}") from error
        if not isinstance(shared, dict) or "extends" in shared:
            raise ValueError(f"extends: {path} must be a mapping that extends nothing itself")
        return merged(shared, values)


class PlannedCell(BaseModel):
    """A cell before it runs."""

    model_config = ConfigDict(frozen=True)

    concept: str
    label: str
    settings: CellSettings


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """``first`` with the values of ``second``, mappings key by key."""
    both = dict(first)
    for key, value in second.items():
        old = both.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict) and key != "rows"
        both[key] = merged(old, value) if nested else value  # type: ignore[arg-type]
    return both


def planned_cells(config: ExperimentConfig) -> list[PlannedCell]:
    """All cells, seed by seed, so that one seed of everything is there first.

    Raises:
        ConfigError: a row's settings are wrong; names the row and the key.
    """
    adapter = TypeAdapter(CellSettings)
    cells = []
    for seed in config.seeds:
        for concept in config.concepts:
            name = concept if isinstance(concept, str) else concept.concept
            for label, changes in config.rows.items():
                values = merged(config.cell, {**changes, "seed": seed})
                try:
                    settings = adapter.validate_python(values)
                except ValidationError as error:
                    raise ConfigError(f"row {label!r}: {sentences(error)}.") from error
                except ConfigError as error:
                    raise ConfigError(f"row {label!r}: {error}") from error
                cells.append(PlannedCell(concept=name, label=label, settings=settings))
    return _labelled(cells) if config.report == "table2" else cells


def _labelled(cells: list[PlannedCell]) -> list[PlannedCell]:
    """Table 2's rows by their scores' names; a row without one, and rows that share one, keep
    their own."""
    names = {
        cell.label: baseline_label(cell.settings.strategy, cell.settings.baselines)
        for cell in cells
    }
    shared = Counter(names.values())
    found = {
        row: row if name is None or shared[name] > 1 or name in names else name
        for row, name in names.items()
    }
    return [cell.model_copy(update={"label": found[cell.label]}) for cell in cells]


def check_experiment_file(path: Path) -> ExperimentConfig:
    """Check the whole run file before ZenML reads it.

    Raises:
        ConfigError: a key is unknown, a value is wrong, or the file is no YAML mapping.
    """
    try:
        config = ExperimentConfig.model_validate(check_parameters(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {sentences(error)}.") from error
    try:
        planned_cells(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config
