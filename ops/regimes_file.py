"""A grid over regimes: which pools and seeds a selection meets, which rows, which claims.

Plain YAML, run by ``coti regimes FILE``. What a table will be asked is settled in it before the
first run: concepts, seeds, rows, claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coti.core.errors import ConfigError
from coti.core.text_files import read_yaml
from coti.core.whole_files import plain_name
from coti.experiments.claims import BEST_SIMPLE, Claim
from coti.experiments.regime_rows import MEASURED
from coti.experiments.regimes_page import GridPlan
from coti.loop.plan import NO_TRAINING, effective, strategy_of
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings, sentences
from coti.settings.matching_models import require_matching_models
from coti.settings.presets import merged
from ops.stack.locations import ROOT

__all__ = [
    "GridConfig",
    "GridRun",
    "PoolKey",
    "SeedsKey",
    "plan_of",
    "planned_grid",
    "read_grid_file",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GridPools(_Strict):
    """Pools of the bundled world; the same recipe, seed and share give the same bytes."""

    recipe: str = "default"
    """``default``, ``alternate`` or ``third``; the last two are never used for tuning."""
    first_seed: int = 1
    """Pool seed of run seed 0; each run seed has a pool of its own."""
    size: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Images of a pool; none: the recipe's."""
    folder: str = "outputs/experiments/pools"


class RegimePool(_Strict):
    """What a regime's pools are."""

    clean: float | None = Field(default=None, gt=0, lt=1)
    """Share of clean images; none: the recipe's."""


class RegimeSeeds(_Strict):
    """What a regime's seed images are; drawn anew for each run seed."""

    kind: Literal["random", "narrow"] = "random"
    """``narrow``: one at random and those whose pixels are nearest to its."""
    count: int = Field(default=10, ge=2, le=1_000_000)


class Regime(_Strict):
    """A situation that a user may be in."""

    about: str
    """A sentence for the page."""
    pool: RegimePool = RegimePool()
    seeds: RegimeSeeds = RegimeSeeds()
    run: dict[str, Any] = Field(default_factory=dict)
    """How its runs differ from ``run``; the rows' own changes come on top."""
    run_by_concept: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Likewise, of each concept: what it is called where nothing knows its name."""
    trained: bool = True
    """Whether embeddings are trained in it, or X_T alone is measured."""


class Row(_Strict):
    """A way to select."""

    run: dict[str, Any]
    """How its runs differ from ``run``."""
    simple: bool = False
    """Whether it is what a user would do instead, so that a claim's best simple row may be it."""
    seeds: tuple[int, ...] | None = None
    """Seeds that it is trained for; none: ``seeds``."""


class GridConfig(_Strict):
    """Rows x regimes x concepts x seeds. Relative paths start at the repository's root."""

    extends: str | None = None
    """A YAML file with defaults of all keys below."""
    name: str
    """Names the result files."""
    title: str
    concepts: tuple[str, ...]
    """Of the bundled world."""
    seeds: tuple[int, ...]
    """Of what is trained: each is a pool, seed images, training and generation of its own."""
    untrained_seeds: tuple[int, ...] = ()
    """Of what X_T is measured for without training; those of ``seeds`` are measured anyway."""
    rows: dict[str, Row]
    regimes: dict[str, Regime]
    claims: tuple[Claim, ...] = ()
    """What is tested, with one correction for all."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Settings of every run (:class:`coti.settings.RunSettings`)."""
    pools: GridPools = GridPools()
    parallel: int = Field(default=2, ge=1, le=1_024)
    """Runs at once, each in a process with ``run.threads`` threads."""
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
        return merged(shared, values)


@dataclass(frozen=True)
class PoolKey:
    """A pool of the world: its folder's name, and what it is made by."""

    concept: str
    recipe: str
    seed: int
    size: int | None
    clean: float | None


@dataclass(frozen=True)
class SeedsKey:
    """A folder of seed images, of what a pool leaves over."""

    kind: str
    count: int
    seed: int


@dataclass(frozen=True)
class GridRun:
    """A run before it starts."""

    concept: str
    regime: str
    row: str
    seed: int
    trained: bool
    settings: RunSettings
    pool: PoolKey
    seeds: SeedsKey

    @property
    def place(self) -> tuple[str, str, str, int]:
        """Which run of the grid it is."""
        return self.concept, self.regime, self.row, self.seed

    @property
    def asks_for(self) -> dict[str, Any]:
        """All that its numbers depend on, but for code and models; what changes none is left out.

        So that regimes share what is the same in them: without selection the pool has no part,
        without training none of the concept's images has.
        """
        settings, pool = self.settings, self.pool
        if settings.strategy == NO_TRAINING:
            return {"settings": asdict(settings.only(*_GENERATING))}
        told: dict[str, Any] = {"trained": self.trained, "seeds": asdict(self.seeds)}
        if strategy_of(settings).selects or (self.trained and settings.schedule.dynamic):
            told["pool"] = asdict(pool)
            settings = settings if self.trained else settings.only(*_SELECTING)
        else:
            # Its seeds are those of all pools with this seed: see draw_seeds.
            told["pool"] = {**asdict(pool), "clean": None}
            used = (*_GENERATING, *_TRAINING) if self.trained else _MEASURING
            settings = settings.only("strategy", *used)
        return told | {"settings": asdict(settings)}


_GENERATING = (
    *("concept", "seed", "model", "images", "generation"),
    *("evaluation", "measurement", "baselines"),
)
_MEASURING = ("concept", "images", "evaluation")
_TRAINING = ("token", "train", "schedule", "controller")
_SELECTING = (
    *("concept", "seed", "model", "evaluation", "strategy", "growth", "baseline_images"),
    *("baselines", "selection", "scorer", "aesthetic", "concept_score", "images", "pool_rules"),
)


def read_grid_file(path: Path) -> GridConfig:
    """Read and check the whole file.

    Raises:
        ConfigError: a key is unknown, a value is wrong, a claim speaks of what is not there; names
            the file and the place.
    """
    values = read_yaml(path, "the file")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must be a mapping of settings.")
    if "parameters" in values:
        raise ConfigError(
            f"{path} is a run file and no grid: `zenml pipeline run coti_experiments -c {path}`."
        )
    try:
        config = GridConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {sentences(error)}.") from error
    try:
        plain_name(config.name, "name")
        plain_name(config.pools.recipe, "pools.recipe")
        for concept in config.concepts:
            plain_name(concept, "concept")
        for claim in config.claims:
            _check(claim, config)
        for regime in config.regimes.values():
            missing = set(config.concepts) - set(regime.run_by_concept)
            if regime.run_by_concept and missing:
                raise ConfigError(f"run_by_concept lacks {', '.join(sorted(missing))}.")
        _every_settings(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def _check(claim: Claim, config: GridConfig) -> None:
    trained = [name for name, regime in config.regimes.items() if regime.trained]
    for what, named, known in (
        ("row", {claim.row, *claim.against} - {BEST_SIMPLE}, set(config.rows)),
        ("trained regime", set(claim.regimes), set(trained)),
        ("column", set(claim.metrics), set(MEASURED)),
    ):
        for each in sorted(named - known):
            raise ConfigError(f"claim {claim.says!r}: there is no {what} {each!r}.")
    if BEST_SIMPLE in claim.against and not any(row.simple for row in config.rows.values()):
        raise ConfigError(f"claim {claim.says!r}: no row is simple.")


def plan_of(config: GridConfig, runs: int) -> GridPlan:
    """What the page needs to know of it, and how many runs it has."""
    return GridPlan(
        title=config.title,
        regimes={name: regime.about for name, regime in config.regimes.items()},
        trained=tuple(name for name, regime in config.regimes.items() if regime.trained),
        rows=tuple(config.rows),
        simple=tuple(name for name, row in config.rows.items() if row.simple),
        claims=config.claims,
        runs=runs,
    )


def planned_grid(config: GridConfig) -> Iterator[GridRun]:
    """All runs, seed by seed and pool by pool: what is trained first, then X_T alone.

    Raises:
        ConfigError: a row's settings are wrong; names the row, the regime and the key.
    """
    settings = _every_settings(config)
    trained = set()
    for place in _places(config, config.seeds):
        concept, regime, row, seed = place
        own = config.rows[row].seeds
        if config.regimes[regime].trained and seed in (config.seeds if own is None else own):
            trained.add(place)
            yield _run(config, place, settings[concept, regime, row], trained=True)
    known = {key for key, each in settings.items() if _at_once(each)}
    for place in _places(config, tuple(sorted({*config.seeds, *config.untrained_seeds}))):
        if place not in trained and place[:3] in known:
            yield _run(config, place, settings[place[:3]], trained=False)


def _places(config: GridConfig, seeds: tuple[int, ...]) -> Iterator[tuple[str, str, str, int]]:
    by_pool = sorted(config.regimes, key=lambda name: config.regimes[name].pool.clean or 1.0)
    for seed in seeds:
        for concept in config.concepts:
            for regime in by_pool:
                for row in config.rows:
                    yield concept, regime, row, seed


def _run(
    config: GridConfig, place: tuple[str, str, str, int], settings: RunSettings, trained: bool
) -> GridRun:
    concept, name, _, seed = place
    regime, pools = config.regimes[name], config.pools
    return GridRun(
        *place,
        trained=trained,
        settings=replace(settings, seed=seed),
        pool=PoolKey(concept, pools.recipe, pools.first_seed + seed, pools.size, regime.pool.clean),
        seeds=SeedsKey(regime.seeds.kind, regime.seeds.count, seed),
    )


def _every_settings(config: GridConfig) -> dict[tuple[str, str, str], RunSettings]:
    """By concept, regime and row."""
    return {
        (concept, regime, row): _settings(config, concept, regime, row)
        for concept in config.concepts
        for regime in config.regimes
        for row in config.rows
    }


def _settings(config: GridConfig, concept: str, regime: str, row: str) -> RunSettings:
    where = config.regimes[regime]
    values = dict(config.run)
    own = where.run_by_concept.get(concept, {})
    for changes in (where.run, own, config.rows[row].run, {"concept": concept}):
        values = merged(values, changes)
    origin = f"row {row!r}, regime {regime!r}"
    try:
        settings = parse_settings(values, origin)
        require_matching_models(values)
        if settings.strategy != NO_TRAINING:
            effective(settings)
    except ConfigError as error:
        raise ConfigError(str(error) if origin in str(error) else f"{origin}: {error}") from error
    return settings


def _at_once(settings: RunSettings) -> bool:
    """Whether X_T is known without training."""
    return settings.strategy != NO_TRAINING and effective(settings).growth == "at_once"
