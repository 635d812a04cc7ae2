"""Algorithm 1's stations as steps, wired: what comes before the cycles, a cycle, what comes after.

Both pipelines are this wiring. Which of them it is for, the ``loop`` that it is given knows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from zenml import ExternalArtifact

from coti.loop.plan import effective, first_batch, selects_at, strategy_of
from coti.loop.uses import USES
from coti.settings import RunSettings
from ops.failed_runs import failure_recorded
from ops.stack.moved_state import forget_place
from ops.stack.pods import mend_pods
from ops.stack.review_inputs import review_artifact
from ops.stack.settings_schema import remember_schema
from ops.stack.source_hashes import hash_sources_once
from ops.stack.verified_cache import verify_cache
from ops.terminal import announce_cycle, announce_pool, announce_preflight, announce_result
from ops.tracking.lineage import (
    Fingerprints,
    fingerprints_of,
    negatives_fingerprint,
    tags_of,
)
from ops.tracking.pool_history import last_profile
from pipelines.loops import Loop
from steps.control_loop import control_loop
from steps.embed_pool import embed_pool
from steps.embed_references import embed_references
from steps.finetune_aesthetic_scorer import finetune_aesthetic_scorer
from steps.fit_concept_scorer import fit_concept_scorer
from steps.gather_features import gather_features
from steps.ingest_pool import ingest_pool
from steps.initialize_embedding import initialize_embedding
from steps.judge_cycle import judge_cycle
from steps.load_seeds import load_seeds
from steps.preflight import preflight
from steps.reach_verdict import reach_verdict
from steps.register_embedding import register_embedding
from steps.score_generations import score_generations
from steps.score_pool import score_pool
from steps.select_batch import select_batch
from steps.shard_pool import shard_pool
from steps.track_cycle import track_cycle
from steps.train_cycle import train_cycle
from steps.validate_pool import validate_pool
from steps.write_outputs import write_outputs

__all__ = ["STEPS", "wire"]

# Not in a pipeline's function: the controller's own pod is made before that runs.
mend_pods()
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
    initialize_embedding,
    fit_concept_scorer,
    preflight,
    finetune_aesthetic_scorer,
    score_pool,
    select_batch,
    train_cycle,
    score_generations,
    judge_cycle,
    control_loop,
    track_cycle,
    reach_verdict,
    register_embedding,
    write_outputs,
]
"""Every step, so that settings by step in a run file reach the dynamic pipeline."""


def wire(config: RunSettings, loop: Loop) -> None:
    """Wire the steps; ``loop`` says how a cycle follows the other."""
    run = _given(config)
    with failure_recorded(experiment=config.concept, config=run.whole, tags=run.tags):
        start = _prepare(run, loop)
        cycles = _first_scorer(run, start, loop)
        while _cycle(run, start, cycles, loop):
            cycles.number += 1
        _end(run, start, cycles, loop)


class _Given(NamedTuple):
    """What is known before any step runs."""

    config: RunSettings
    settings: RunSettings
    """``config``, less what the strategy has no use for and where a review lies."""
    prints: Fingerprints
    device: Any
    whole: dict[str, Any]
    """``config`` as a step is given it."""
    tags: dict[str, str]
    used: dict[str, RunSettings]
    """By station, the settings that it reads."""
    sees_ground_truth: bool
    """Whether the strategy does: a cheat by design, for benchmarks."""
    reviewed: dict[str, Any]
    """What people decided, for the steps from which on it holds."""


class _Start(NamedTuple):
    """Artifacts of before the cycles."""

    embedding: Any
    samples: Any
    vocabulary: Any
    pool_images: Any
    accepted: Any
    quarantined: Any
    pool_report: Any
    seed_images: Any
    training_set: Any
    features: Any
    references: Any


@dataclass
class _Cycles:
    """What a cycle hands to the next one, and what all have made."""

    training_set: Any
    embedding: Any
    concept_scorer: Any
    seeds_concept_scorer: Any
    """Of the seeds alone, which all cycles are compared by; with ``first_head``."""
    number: int = 0
    first_head: Any = None
    facts: Any = None
    """What is known before anything is trained."""
    generated_features: Any = None
    scored: Any = None
    kept_embedding: Any = None
    kept_features: Any = None
    history: Any = None
    decision: Any = None
    tables: list[Any] = field(default_factory=list)
    batches: list[Any] = field(default_factory=list)
    curves: list[Any] = field(default_factory=list)
    samples: list[Any] = field(default_factory=list)
    judged: list[Any] = field(default_factory=list)


def _given(config: RunSettings) -> _Given:
    settings, prints = effective(config.without_review()), fingerprints_of(config)
    used = {name: settings.only(*keys) for name, keys in USES.items()}
    cheats = strategy_of(settings).sees_ground_truth
    if cheats:
        used["select_batch"] = settings.only(*USES["select_batch"], "concept", "ground_truth")
    return _Given(
        config=config,
        settings=settings,
        prints=prints,
        # An artifact: ZenML's cache keys can leave out artifacts alone, and parameters never.
        device=ExternalArtifact(value=config.model.device),
        whole=asdict(config),
        tags=tags_of(config, prints),
        used=used,
        sees_ground_truth=cheats,
        reviewed={"review": review_artifact(config), "review_fingerprint": prints.review},
    )


def _prepare(run: _Given, loop: Loop) -> _Start:
    """The untrained embedding, the pool, the seeds, features and references."""
    config, settings, prints = run.config, run.settings, run.prints
    rules = config.pool_rules
    embedding, samples, resolution, vocabulary = initialize_embedding(
        settings=settings.only("concept", "model", "token", "generation", "seed"),
        device=run.device,
        model_fingerprint=prints.base_model,
        initializer_fingerprint=prints.initializer,
    )
    manifest, pool_images, pool_source = ingest_pool(
        source=config.pool,
        source_fingerprint=prints.pool,
        resolution=resolution,
        images=config.images,
        settings=rules,
    )
    accepted, quarantined, validation, pool_report, cut = validate_pool(
        manifest=manifest,
        pool_images=pool_images,
        pool_source=pool_source,
        images=config.images,
        settings=rules,
        batch=first_batch(settings),
        last_profile=last_profile(config.pool, prints.pool),
    )
    seed_images, training_set = load_seeds(
        source=config.seeds,
        source_fingerprint=prints.seeds,
        resolution=resolution,
        images=config.images,
        **run.reviewed,
    )
    encoding: dict[str, Any] = {
        "settings": replace(settings, aesthetic=settings.aesthetic.encoding).only(
            "scorer", "concept_score", "model", "images", "pool_rules", "aesthetic"
        ),
        "device": run.device,
        "scorer_fingerprint": prints.scorer,
        "model_fingerprint": prints.base_model,
    }
    features, accepted, quarantined = gather_features(
        shards=loop.embed_shards(accepted, rules.feature_shard, pool_images, encoding),
        accepted=accepted,
        quarantined=quarantined,
        seed_images=seed_images,
        text=config.asked_for,
        negatives_fingerprint=negatives_fingerprint(config),
        **run.reviewed,
        **encoding,
    )
    references, shortfalls = embed_references(
        settings=settings.only("concept", "references", "images", "evaluation", "generation"),
        resolution=resolution,
        references_fingerprint=prints.references,
        judge_fingerprint=prints.judge,
        ssl_judge_fingerprint=prints.ssl_judge,
    )
    loop.tell(
        announce_pool,
        pool_source=pool_source,
        validation=validation,
        cut=cut,
        shortfalls=shortfalls,
    )
    return _Start(
        embedding=embedding,
        samples=samples,
        vocabulary=vocabulary,
        pool_images=pool_images,
        accepted=accepted,
        quarantined=quarantined,
        pool_report=pool_report,
        seed_images=seed_images,
        training_set=training_set,
        features=features,
        references=references,
    )


def _first_scorer(run: _Given, start: _Start, loop: Loop) -> _Cycles:
    """Before the first cycle: S_con is fitted to the seeds."""
    scorer = loop(
        fit_concept_scorer,
        features=start.features,
        training_set=start.training_set,
        settings=run.used["fit_concept_scorer"],
    )
    return _Cycles(
        training_set=start.training_set,
        embedding=start.embedding,
        concept_scorer=scorer,
        seeds_concept_scorer=scorer,
    )


def _cycle(run: _Given, start: _Start, cycles: _Cycles, loop: Loop) -> bool:
    """Score, select, train, evaluate, decide; whether another cycle follows."""
    loop.begin(cycles.number)
    head = loop(
        finetune_aesthetic_scorer,
        features=start.features,
        accepted=start.accepted,
        seed_images=start.seed_images,
        training_set=cycles.training_set,
        cycle=cycles.number,
        settings=run.used["finetune_aesthetic_scorer"],
        ratings_fingerprint=run.prints.ratings,
    )
    if cycles.first_head is None:
        cycles.first_head = head
        cycles.facts = loop(
            preflight,
            features=start.features,
            aesthetic_head=head,
            seed_images=start.seed_images,
            settings=run.used["preflight"],
            device=run.device,
            scorer_fingerprint=run.prints.scorer,
            model_fingerprint=run.prints.base_model,
        )
        loop.tell(announce_preflight, facts=cycles.facts)
    scores, picked = None, None
    if selects_at(cycles.number, run.settings):
        scores, picked = _select(run, start, cycles, head, loop)
        if picked is None:
            return False
    generated, sampled, curve, training = _train(run, start, cycles, head, loop)
    judged = loop(
        judge_cycle,
        generated=generated,
        references=start.references,
        training_set=cycles.training_set,
        accepted=start.accepted,
        settings=run.used["judge_cycle"],
        judge_fingerprint=run.prints.judge,
        ssl_judge_fingerprint=run.prints.ssl_judge,
        ground_truth_fingerprint=run.prints.ground_truth,
    )
    cycles.kept_embedding, cycles.kept_features, cycles.history, cycles.decision = loop(
        control_loop,
        cycle=cycles.number,
        history=cycles.history,
        training=training,
        scored=cycles.scored,
        training_set=cycles.training_set,
        accepted=start.accepted,
        embedding=cycles.embedding,
        kept_embedding=cycles.kept_embedding,
        generated_features=cycles.generated_features,
        kept_features=cycles.kept_features,
        settings=run.settings.controller,
    )
    loop.tell(
        partial(announce_cycle, cycles=run.settings.controller.max_cycles),
        history=cycles.history,
        judged=judged,
        decision=cycles.decision,
    )
    loop(
        track_cycle,
        concept=run.config.concept,
        history=cycles.history,
        judged=judged,
        training=training,
        curve=curve,
        embedding=cycles.embedding,
        samples=sampled,
        scores=scores,
        picked=picked,
        pool_images=start.pool_images,
        pool_report=start.pool_report,
        config=run.whole,
        tags=run.tags,
    )
    cycles.curves.append(curve)
    cycles.samples.append(sampled)
    cycles.judged.append(judged)
    return loop.goes_on(cycles.decision)


def _select(run: _Given, start: _Start, cycles: _Cycles, head: Any, loop: Loop) -> tuple[Any, Any]:
    """The scores and the picked images, which X_T has then; None for these where none is added."""
    scores = loop(
        score_pool,
        features=start.features,
        aesthetic_head=head,
        concept_scorer=cycles.concept_scorer,
        training_set=cycles.training_set,
        accepted=start.accepted,
        pool_images=start.pool_images,
        seed_images=start.seed_images,
        previous=cycles.tables[-1] if cycles.tables else None,
        cycle=cycles.number,
        scored=cycles.scored,
        generated_features=cycles.generated_features,
        settings=run.used["score_pool"],
        baselines_fingerprint=run.prints.baselines,
    )
    cycles.training_set, picked, found = loop(
        select_batch,
        scores=scores,
        features=start.features,
        training_set=cycles.training_set,
        accepted=start.accepted,
        cycle=cycles.number,
        last=cycles.decision,
        generated_features=cycles.generated_features,
        settings=run.used["select_batch"],
        ground_truth_fingerprint=run.prints.ground_truth if run.sees_ground_truth else "",
    )
    if cycles.decision is not None:
        cycles.decision = found
        if loop.found_nothing(found):
            return scores, None
    cycles.tables.append(scores)
    cycles.batches.append(picked)
    cycles.concept_scorer = loop(
        fit_concept_scorer,
        features=start.features,
        training_set=cycles.training_set,
        settings=run.used["fit_concept_scorer"],
    )
    return scores, picked


def _train(
    run: _Given, start: _Start, cycles: _Cycles, head: Any, loop: Loop
) -> tuple[Any, Any, Any, Any]:
    """Train on X_T and score what is generated: X_TI, samples, curve and the training's record."""
    reinitialize = run.config.train.reinitialize
    cycles.embedding, generated, sampled, curve, training = loop(
        train_cycle,
        cycle=cycles.number,
        training_set=cycles.training_set,
        accepted=start.accepted,
        pool_images=start.pool_images,
        seed_images=start.seed_images,
        aesthetic_head=head,
        concept_scorer=cycles.concept_scorer,
        embedding=start.embedding if reinitialize else cycles.embedding,
        settings=run.used["train_cycle"],
        device=run.device,
        model_fingerprint=run.prints.base_model + run.prints.captioner,
    )
    cycles.generated_features, cycles.scored = loop(
        score_generations,
        generated=generated,
        features=start.features,
        aesthetic_head=head,
        first_aesthetic_head=cycles.first_head,
        concept_scorer=cycles.concept_scorer,
        seeds_concept_scorer=cycles.seeds_concept_scorer,
        kept_features=cycles.kept_features,
        training_set=cycles.training_set,
        settings=run.used["score_generations"],
        device=run.device,
    )
    return generated, sampled, curve, training


def _end(run: _Given, start: _Start, cycles: _Cycles, loop: Loop) -> None:
    """Register the kept embedding, write the outputs, tell the result."""
    config, prints = run.config, run.prints
    loop.begin(None)
    verdict = loop(
        reach_verdict,
        facts=cycles.facts,
        features=start.features,
        kept_features=cycles.kept_features,
        training_set=cycles.training_set,
        decision=cycles.decision,
        settings=run.settings.only(),
    )
    registration = loop(
        register_embedding,
        concept=config.concept,
        kept_embedding=cycles.kept_embedding,
        history=cycles.history,
        judged=cycles.judged,
        decision=cycles.decision,
        verdict=verdict,
        config=run.whole,
        tags=run.tags,
        references_fingerprint=prints.references,
        judge_fingerprint=prints.judge,
        promotion=config.promotion,
        vocabulary=start.vocabulary,
        seed_images=start.seed_images,
    )
    _, folder = write_outputs(
        concept=config.concept,
        output=config.output,
        kept_embedding=cycles.kept_embedding,
        history=cycles.history,
        judged=cycles.judged,
        decision=cycles.decision,
        verdict=verdict,
        registration=registration,
        curves=cycles.curves,
        samples=cycles.samples,
        initial_samples=start.samples,
        seed_images=start.seed_images,
        scores=cycles.tables,
        picked=cycles.batches,
        first_selection=0 if selects_at(0, run.settings) else 1,
        pool_images=start.pool_images,
        accepted=start.accepted,
        quarantined=start.quarantined,
        pool_report=start.pool_report,
        config=run.whole,
        lineage=run.tags,
    )
    loop.tell(
        announce_result,
        history=cycles.history,
        judged=cycles.judged,
        decision=cycles.decision,
        verdict=verdict,
        registration=registration,
        folder=folder,
    )
