"""The paper's experiments: every run a cached step and an MLflow run, results at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import zenml
from zenml import ExternalArtifact
from zenml.utils.time_utils import utc_now

from coti.core.errors import ConfigError
from coti.settings import RunSettings
from ops.experiment_file import (
    ConceptSource,
    ExperimentConfig,
    PlannedRun,
    planned_runs,
    require_results,
)
from ops.experiment_identity import (
    ConceptIdentity,
    Shared,
    encoding_settings,
    judging_settings,
    reference_judging_settings,
)
from ops.experiment_pools import sources_of
from ops.experiment_progress import Progress, announce_cost, facts_of
from ops.failed_runs import failure_recorded
from ops.preconditions import require_stack
from ops.stack.experiment_workers import start_workers, stop_workers
from ops.stack.loaded_models import text_to_image
from ops.stack.moved_state import forget_place
from ops.stack.review_inputs import review_artifact
from ops.stack.settings_schema import remember_schema
from ops.stack.source_hashes import hash_sources_once
from ops.stack.verified_cache import verify_cache
from ops.terminal import user_errors
from ops.tracking.active_tracker import experiment_record
from ops.tracking.killed_runs import close_killed_runs
from ops.tracking.lineage import (
    base_model_fingerprint,
    judge_fingerprint,
    negatives_fingerprint,
    review_fingerprint,
    scorers_fingerprint,
    ssl_judge_fingerprint,
    weights_of,
)
from pipelines.loops import embed_shards
from steps.embed_pool import embed_pool
from steps.embed_reference_judge import embed_reference_judge
from steps.embed_references import embed_references
from steps.gather_features import gather_features
from steps.ingest_pool import ingest_pool
from steps.load_seeds import load_seeds
from steps.run_experiment import run_experiment
from steps.shard_pool import shard_pool
from steps.track_experiment import track_experiment
from steps.validate_pool import validate_pool
from steps.write_results import write_results

__all__ = ["STEPS", "coti_experiments"]

hash_sources_once()
forget_place()
remember_schema()
verify_cache()

STEPS = [
    ingest_pool,
    validate_pool,
    load_seeds,
    shard_pool,
    embed_pool,
    gather_features,
    embed_references,
    embed_reference_judge,
    run_experiment,
    track_experiment,
    write_results,
]
"""Every step, so that settings by step in a run file reach the dynamic pipeline."""


@zenml.pipeline(name="coti_experiments", dynamic=True, depends_on=STEPS, enable_cache=True)
def coti_experiments(config: ExperimentConfig | None = None) -> None:
    """Run all runs of an experiment that are not done yet, and write its results."""
    with user_errors():
        close_killed_runs()
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
    runs = planned_runs(config)
    require_stack([config.name])
    require_results(config)
    sources = sources_of(config)
    network = text_to_image(runs[0].settings.model)
    announce_cost(config, runs, network)
    shared = runs[0].settings
    concepts = {name: _Concept(each, shared, network.resolution) for name, each in sources.items()}
    progress, started = Progress(config, runs), utc_now()
    outcomes = []
    window = config.parallel + 1 if config.parallel > 1 else 1
    submitted = _in_order(
        runs, lambda run: concepts[run.settings.concept].start(run.settings), window
    )
    for run, future in submitted:
        concept = concepts[run.settings.concept]
        record: dict[str, Any] = {
            "experiment": config.name,
            "label": run.label,
            "key": concept.identity.key(run),
            "config": asdict(run.settings.for_results()),
            "tags": concept.identity.tags(run) | {"coti.experiment": config.name},
        }
        with failure_recorded(**experiment_record(**record)):
            samples, embedding, row, cycles, selected = future.artifacts()
            track_experiment(
                samples=samples,
                embedding=embedding,
                row=row,
                cycles=cycles,
                selected=selected,
                **record,
            )
        progress.show(run, row.load(), cached=row.created < started)
        outcomes.append((row, cycles, samples, concept.seed_images))
    columns = zip(*outcomes, strict=True)
    rows, cycle_rows, samples_ids, seeds_ids = ([str(each.id) for each in c] for c in columns)
    page = write_results(
        experiment=config.name,
        report=config.report,
        title=config.title,
        facts=facts_of(config, runs),
        output=config.results,
        labels=[run.label for run in runs],
        rows=rows,
        cycles=cycle_rows,
        samples=samples_ids,
        reals=seeds_ids,
    )
    progress.end(str(page.load()))


def _in_order(
    runs: Sequence[PlannedRun], start: Callable[[PlannedRun], Any], window: int
) -> Iterator[tuple[PlannedRun, Any]]:
    """Runs with their futures, in order; up to ``window`` are under way at once."""
    waiting, running = deque(runs), deque[tuple[PlannedRun, Any]]()
    while waiting or running:
        while waiting and len(running) < window:
            run = waiting.popleft()
            running.append((run, start(run)))
        run, future = running.popleft()
        yield run, future


class _Concept:
    """The steps of a concept's images and features, which its runs share."""

    def __init__(self, source: ConceptSource, shared: RunSettings, resolution: int) -> None:
        rules = shared.pool_rules
        self.identity = ConceptIdentity.of(source, rules)
        self._resolution, self._shared = resolution, Shared()
        # An artifact: ZenML's cache keys can leave out artifacts alone, and parameters never.
        self._device = ExternalArtifact(value=shared.model.device)
        manifest, self._pool_images, pool_source = ingest_pool(
            source=source.pool,
            source_fingerprint=self.identity.pool,
            resolution=resolution,
            images=shared.images,
            settings=rules,
        )
        self._accepted, self._quarantined, *_ = validate_pool(
            manifest=manifest,
            pool_images=self._pool_images,
            pool_source=pool_source,
            images=shared.images,
            settings=rules,
            batch=0,
            last_profile=None,
        )
        self._shards = shard_pool(self._accepted, rules.feature_shard)
        self.seed_images, _ = self._seeds(shared)

    def start(self, settings: RunSettings) -> Any:
        """Submit a run; the future of its outputs."""
        features, accepted = self._features(settings)
        seed_images, training_set = self._seeds(settings)
        references, reference_judge = self._references(settings)
        ground_truth = self.identity.source.ground_truth
        return run_experiment.submit(
            accepted=accepted,
            pool_images=self._pool_images,
            seed_images=seed_images,
            training_set=training_set,
            features=features,
            references=references,
            reference_judge=reference_judge,
            weights=self.identity.weights(settings),
            settings=replace(settings.without_review().for_results(), ground_truth=ground_truth),
            device=self._device,
        )

    def _seeds(self, settings: RunSettings) -> tuple[Any, Any]:
        """The seeds, and X_T of these alone."""
        reviewed = self._reviewed(settings)
        seed_images, training_set = self._shared(
            f"seeds {reviewed['review_fingerprint']}",
            settings.only("images"),
            lambda: load_seeds(
                source=self.identity.source.seeds,
                source_fingerprint=self.identity.seeds,
                resolution=self._resolution,
                images=settings.images,
                **reviewed,
            ),
        )
        return seed_images, training_set

    def _reviewed(self, settings: RunSettings) -> dict[str, Any]:
        """What people decided, for the steps from which on it holds."""
        named = replace(settings, pool=self.identity.source.pool)
        return {
            "review": review_artifact(named),
            "review_fingerprint": review_fingerprint(settings),
        }

    def _features(self, settings: RunSettings) -> tuple[Any, Any]:
        """Features, and the images that are left without near duplicates."""
        used, text = encoding_settings(settings), settings.asked_for
        features, accepted = self._shared(
            f"features of {text} {review_fingerprint(settings)}",
            used,
            lambda: self._embedded(settings, used, text),
        )
        return features, accepted

    def _embedded(self, settings: RunSettings, used: RunSettings, text: str) -> tuple[Any, Any]:
        encoding: dict[str, Any] = {
            "settings": used,
            "device": self._device,
            "scorer_fingerprint": scorers_fingerprint(used.scorer, used.concept_score),
            "model_fingerprint": base_model_fingerprint(used.model),
        }
        features, accepted, _ = gather_features(
            shards=embed_shards(self._shards, self._pool_images, encoding),
            accepted=self._accepted,
            quarantined=self._quarantined,
            seed_images=self._seeds(settings)[0],
            text=text,
            negatives_fingerprint=negatives_fingerprint(used),
            **self._reviewed(settings),
            **encoding,
        )
        return features, accepted

    def _references(self, settings: RunSettings) -> tuple[Any, Any]:
        """The references' features on the judges and on the reference judge."""
        judged = judging_settings(settings, self.identity.source)
        references, _ = self._shared(
            "references",
            judged,
            lambda: embed_references(
                settings=judged,
                resolution=self._resolution,
                references_fingerprint=self.identity.references,
                judge_fingerprint=judge_fingerprint(judged.evaluation),
                ssl_judge_fingerprint=ssl_judge_fingerprint(judged.evaluation),
            ),
        )
        again = reference_judging_settings(settings, self.identity.source)
        reference_judge = self._shared(
            "reference judge",
            again,
            lambda: embed_reference_judge(
                settings=again,
                resolution=self._resolution,
                references_fingerprint=self.identity.references,
                baselines_fingerprint=weights_of(settings)["baselines"],
            ),
        )
        return references, reference_judge
