"""The paper's experiments: every cell a cached step and an MLflow run, results at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import zenml
from zenml.utils.time_utils import utc_now

from coti.core.errors import ConfigError
from coti.settings import BaselineSettings, ConceptScoreSettings, EvaluationSettings
from ops.experiment_file import (
    ConceptSource,
    ExperimentConfig,
    PlannedCell,
    planned_cells,
)
from ops.experiment_pools import sources_of
from ops.experiment_progress import Progress, announce_cost, facts_of
from ops.stack.cache_policy import code_fingerprint
from ops.stack.experiment_workers import start_workers, stop_workers
from ops.stack.input_hashes import fingerprint_model, fingerprint_optional, fingerprint_pool
from ops.stack.loaded_models import text_to_image
from ops.stack.source_hashes import hash_sources_once
from ops.terminal import user_errors
from ops.tracking.lineage import scorers_fingerprint
from steps.embed_pool import embed_pool
from steps.embed_reference_judge import embed_reference_judge
from steps.embed_references import embed_references
from steps.gather_features import gather_features
from steps.ingest_pool import ingest_pool
from steps.load_seeds import load_seeds
from steps.run_cell import run_cell
from steps.shard_pool import shard_pool
from steps.track_cell import track_cell
from steps.validate_pool import validate_pool
from steps.write_results import write_results

__all__ = ["STEPS", "coti_experiments"]

hash_sources_once()

STEPS = [
    ingest_pool,
    validate_pool,
    load_seeds,
    shard_pool,
    embed_pool,
    gather_features,
    embed_references,
    embed_reference_judge,
    run_cell,
    track_cell,
    write_results,
]
"""Every step, so that settings by step in a run file reach the dynamic pipeline."""


@zenml.pipeline(name="coti_experiments", dynamic=True, depends_on=STEPS, enable_cache=True)
def coti_experiments(config: ExperimentConfig | None = None) -> None:
    """Run all cells of an experiment that are not done yet, and write its results."""
    with user_errors():
        if config is None:
            raise ConfigError(
                "an experiment needs its file: zenml pipeline run coti_experiments -c "
                "configs/experiments/table1.yaml"
            )
        start_workers(config.parallel)
        try:
            _run(config)
        finally:
            stop_workers()


def _run(config: ExperimentConfig) -> None:
    cells = planned_cells(config)
    sources = sources_of(config)
    network = text_to_image(config.model)
    announce_cost(config, cells, network)
    concepts = {name: _Concept(config, each, network.resolution) for name, each in sources.items()}
    progress, started = Progress(config, cells), utc_now()
    outcomes = []
    window = config.parallel + 1 if config.parallel > 1 else 1
    for cell, found in _in_order(cells, lambda each: concepts[each.concept].start(each), window):
        samples, word, row, cycles, picked = found
        concept = concepts[cell.concept]
        track_cell(
            config.name,
            cell.label,
            concept.key(cell),
            samples,
            word,
            row,
            cycles,
            picked,
            _flat(dataclasses.asdict(cell.settings)),
            concept.tags(cell),
        )
        progress.show(cell, row.load(), cached=row.created < started)
        outcomes.append((row, cycles, samples, concept.seed_images))
    columns = zip(*outcomes, strict=True)
    rows, cycle_rows, images, reals = ([str(each.id) for each in column] for column in columns)
    page = write_results(
        config.name,
        config.report,
        config.title,
        facts_of(config, cells),
        config.results,
        [cell.label for cell in cells],
        rows,
        cycle_rows,
        images,
        reals,
    )
    progress.end(str(page.load()))


def _in_order(
    cells: Sequence[PlannedCell], start: Callable[[PlannedCell], Any], window: int
) -> Iterator[tuple[PlannedCell, Any]]:
    """Cells with their outputs, in order; up to ``window`` are under way at once."""
    waiting, running = deque(cells), deque[tuple[PlannedCell, Any]]()
    while waiting or running:
        while waiting and len(running) < window:
            cell = waiting.popleft()
            running.append((cell, start(cell)))
        cell, future = running.popleft()
        yield cell, future.artifacts()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, for MLflow's comparison."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _judge_print(settings: EvaluationSettings) -> str:
    return fingerprint_model(settings.judge, settings.judge_pretrained, settings.judge_sha256)


class _Concept:
    """A concept's images and features: made once, shared by its cells."""

    def __init__(self, config: ExperimentConfig, source: ConceptSource, resolution: int) -> None:
        self._config, self._source, self._resolution = config, source, resolution
        rules = config.pool_rules
        self._pool_print = pool_print = fingerprint_pool(source.pool, rules)
        manifest, self._pool_images, pool_source = ingest_pool(
            source.pool, pool_print, resolution, rules
        )
        self._accepted, self._quarantined, _, _ = validate_pool(
            manifest, pool_source, rules, 0, None
        )
        self._shards = shard_pool(self._accepted, rules.feature_shard)
        self._seeds_print = fingerprint_optional("seeds", source.seeds)
        self.seed_images, _ = load_seeds(source.seeds, self._seeds_print, resolution)
        self._references_print = fingerprint_optional("references", source.references)
        model = config.model
        self._model_print = fingerprint_model(
            model.base_model, model.revision, model.sha256, model.config
        )
        self._made: dict[str, Any] = {}

    def start(self, cell: PlannedCell) -> Any:
        """Submit a cell; the future of its outputs."""
        settings = cell.settings
        features, accepted = self._features(settings.concept_score)
        return run_cell.submit(
            self._source.concept,
            accepted,
            self._pool_images,
            self.seed_images,
            features,
            self._references(cell),
            self._reference_judge_features(cell),
            self._source.ground_truth,
            self.weights(cell),
            self._config.model,
            self._config.scorer,
            settings,
        )

    def weights(self, cell: PlannedCell) -> dict[str, str]:
        """Hashes of everything that a cell reads from outside."""
        settings = cell.settings
        judge, aesthetic, base = settings.evaluation, settings.aesthetic, settings.baselines
        return {
            "base_model": self._model_print,
            "scorer": scorers_fingerprint(self._config.scorer, settings.concept_score),
            "judge": _judge_print(judge),
            "ratings": fingerprint_optional(
                "aesthetic", aesthetic.head, aesthetic.ratings, aesthetic.user_ratings
            ),
            "baselines": fingerprint_optional(
                "baselines", base.efficientnet, base.lpips, base.relic, base.tanet, base.sd_chad
            ),
            "ground_truth": fingerprint_optional("ground_truth", self._source.ground_truth),
        }

    def tags(self, cell: PlannedCell) -> dict[str, str]:
        """Lineage of a cell's MLflow run."""
        images = {
            "pool": self._pool_print,
            "seeds": self._seeds_print,
            "references": self._references_print,
        }
        prints = {
            f"coti.{name}_hash": value for name, value in {**self.weights(cell), **images}.items()
        }
        return {
            "coti.concept": cell.concept,
            "coti.strategy": cell.label,
            "coti.seed": str(cell.settings.seed),
            "coti.experiment": self._config.name,
            "coti.code_hash": code_fingerprint(),
            **prints,
        }

    def key(self, cell: PlannedCell) -> str:
        """A cell's identity: settings, inputs and code."""
        rules = dataclasses.asdict(self._config.pool_rules)
        values = [dataclasses.asdict(cell.settings), self.tags(cell), cell.label, rules]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def _once(self, what: str, settings: object, make: Callable[[], Any]) -> Any:
        key = f"{what} {settings}"
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _features(self, settings: ConceptScoreSettings) -> tuple[Any, Any]:
        """Features, and the images that are left without near duplicates."""
        # What the features depend on; S_con's kind, for one, is no part of it.
        part = replace(
            ConceptScoreSettings(),
            encoder=settings.encoder,
            model=settings.model,
            pretrained=settings.pretrained,
            sha256=settings.sha256,
            batch_size=settings.batch_size,
            distractors=settings.distractors,
        )
        return self._once("features", part, lambda: self._embedded(part))  # type: ignore[no-any-return]

    def _embedded(self, part: ConceptScoreSettings) -> tuple[Any, Any]:
        config = self._config
        scorer_print = scorers_fingerprint(config.scorer, part)
        encoders = (config.scorer, scorer_print, part, config.model, self._model_print)
        features, accepted, _ = gather_features(
            embed_pool.map(self._shards, self._pool_images, *map(zenml.unmapped, encoders)),
            self._accepted,
            self._quarantined,
            self.seed_images,
            config.pool_rules,
            *encoders,
        )
        return features, accepted

    def _references(self, cell: PlannedCell) -> Any:
        settings = cell.settings.evaluation
        return self._once(
            "references",
            settings,
            lambda: embed_references(
                self._source.concept,
                self._source.references,
                self._references_print,
                settings,
                _judge_print(settings),
                self._resolution,
            ),
        )

    def _reference_judge_features(self, cell: PlannedCell) -> Any:
        own = cell.settings.baselines
        part = BaselineSettings(efficientnet=own.efficientnet, side=own.side)
        wanted = cell.settings.reference_judge
        return self._once(
            "reference judge",
            (part, wanted),
            lambda: embed_reference_judge(
                self._source.references, self._references_print, part, self._resolution, wanted
            ),
        )
