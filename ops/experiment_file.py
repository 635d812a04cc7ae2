"""The configuration of an experiment: what stands under ``parameters.config`` of its run file."""

from __future__ import annotations

import glob
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coti.core.errors import ConfigError, StoreError
from coti.core.text_files import read_yaml
from coti.core.whole_files import plain_name, require_writable
from coti.experiments.result_tables import WRITTEN
from coti.loop.plan import NO_TRAINING, effective, strategy_of
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings, sentences
from coti.settings.matching_models import require_matching_models
from coti.settings.presets import merged
from ops.regimes_file import RegimeSeeds
from ops.run_file import check_parameters
from ops.stack.locations import ROOT

__all__ = [
    "ConceptSource",
    "ExperimentConfig",
    "MadePools",
    "PlannedRun",
    "check_experiment_file",
    "planned_runs",
    "require_results",
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
    """Ground truth, for the oracle and for selection precision alone."""


class MadePools(BaseModel):
    """Pools of the bundled world, made once; the same recipe and seed give the same bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = "default"
    """``default``, ``alternate`` or ``third``; the last two are never used for tuning."""
    seed: int = 0
    """Of the pool and of the seed images, which all runs share."""
    clean: float | None = Field(default=None, gt=0, lt=1)
    """Share of clean images; none: the recipe's."""
    seed_images: RegimeSeeds = RegimeSeeds()
    size: int | None = Field(default=None, ge=1, le=1_000_000_000)
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
    """Seeds of training, generation and selection; the pools and the seed images stay."""
    rows: dict[str, dict[str, Any]]
    """A row's name, and how its runs differ from ``run``."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Settings of every run (:class:`coti.settings.RunSettings`), but for its concept's data and
    its seed; ``preset``, ``model``, ``scorer``, ``images`` and ``pool_rules`` are the same in all
    rows."""
    made_pools: MadePools = MadePools()
    parallel: int = Field(default=2, ge=1, le=1_024)
    """Runs at once, each a process with ``run.threads`` threads; on a cluster, pods at once."""
    results: str = "docs/results"
    """Folder of CSV, Markdown and PNG."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not values.get("extends"):
            return values
        path = ROOT / str(values["extends"])
        try:
            shared = read_yaml(path, "the file")
        except ConfigError as error:
            raise ValueError(f"extends: {error}") from error
        if not isinstance(shared, dict) or "extends" in shared:
            raise ValueError(f"extends: {path} must be a mapping that extends nothing itself")
        rows = {"rows": values["rows"]} if "rows" in values else {}
        return merged(shared, values) | rows


class PlannedRun(BaseModel):
    """A run before it starts."""

    model_config = ConfigDict(frozen=True)

    label: str
    settings: RunSettings


SHARED = ("preset", "model", "scorer", "images", "pool_rules")
"""Keys that rows can't change: the features of pool and references are computed once a concept."""


def planned_runs(config: ExperimentConfig) -> list[PlannedRun]:
    """All runs, seed by seed, so that one seed of everything is there first.

    Raises:
        ConfigError: a row's settings are wrong; names the row and the key.
    """
    runs = []
    for seed in config.seeds:
        for concept in config.concepts:
            name = concept if isinstance(concept, str) else concept.concept
            for label, changes in config.rows.items():
                for key in SHARED:
                    if key in changes:
                        raise ConfigError(
                            f"row {label!r}: {key} is the same for all rows: set it under run."
                        )
                runs.append(PlannedRun(label=label, settings=_run(config, name, label, seed)))
    return _labelled(runs) if config.report == "table2" else runs


def _run(config: ExperimentConfig, concept: str, label: str, seed: int) -> RunSettings:
    values = merged(config.run, {**config.rows[label], "seed": seed, "concept": concept})
    try:
        settings = parse_settings(values, f"row {label!r}")
        require_matching_models(values)
        if settings.strategy != NO_TRAINING:
            effective(settings)
    except ConfigError as error:
        origin = f"row {label!r}"
        raise ConfigError(str(error) if origin in str(error) else f"{origin}: {error}") from error
    return settings


def _labelled(runs: list[PlannedRun]) -> list[PlannedRun]:
    """Table 2's rows by their strategies' names; rows that share one keep their own."""
    names = {
        run.label: strategy_of(run.settings).label(run.settings)
        for run in runs
        if run.settings.strategy != NO_TRAINING
    }
    shared = Counter(names.values())
    found = {row: row if shared[name] > 1 or name in names else name for row, name in names.items()}
    return [run.model_copy(update={"label": found.get(run.label, run.label)}) for run in runs]


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
        plain_name(config.name, "name")
        plain_name(config.made_pools.recipe, "made_pools.recipe")
        for each in config.concepts:
            if isinstance(each, str):
                plain_name(each, "concept")
        planned_runs(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def require_results(config: ExperimentConfig) -> None:
    """Before anything is computed: results can be written, over earlier ones of ours alone.

    Raises:
        StoreError: the folder cannot be written, or holds a file of that name that is not ours.
    """
    folder = (ROOT / config.results).resolve()
    require_writable(folder)
    page, table = folder / f"{config.name}.md", folder / f"{config.name}.csv"
    if _has(page, WRITTEN) or (not page.exists() and _has(table, "concept,strategy,seed")):
        return
    for path in (page, table, *folder.glob(f"{glob.escape(config.name)}*.png")):
        if path.exists():
            raise StoreError(
                f"{path} is there already and no result of an experiment: move it away, or choose "
                "another `name` or `results`."
            )


def _has(path: Path, text: str) -> bool:
    return path.is_file() and text in path.read_text(encoding="utf-8", errors="replace")
