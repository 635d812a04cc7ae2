"""The main pipeline: Algorithm 1's stations as steps, wired; a cycle follows the controller."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import zenml
from zenml import ExternalArtifact

from coti.loop.plan import effective, first_batch, selects_at, strategy_of
from coti.loop.uses import USES
from coti.settings import RunSettings
from ops.preconditions import prepare
from ops.stack.moved_state import forget_place
from ops.stack.pods import mend_pods
from ops.stack.settings_schema import remember_schema
from ops.stack.source_hashes import hash_sources_once
from ops.stack.verified_cache import verify_cache
from ops.terminal import announce_pool, announce_result, user_errors
from ops.tracking.lineage import fingerprints_of, params_of, tags_of
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
from steps.register_embedding import register_embedding
from steps.score_generations import score_generations
from steps.score_pool import score_pool
from steps.select_batch import select_batch
from steps.shard_pool import shard_pool
from steps.track_cycle import track_cycle
from steps.train_cycle import train_cycle
from steps.validate_pool import validate_pool
from steps.write_outputs import write_outputs

__all__ = ["STEPS", "coti_concept", "wire"]

# Not in the function below: the controller's own pod is made before that runs.
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
    finetune_aesthetic_scorer,
    score_pool,
    select_batch,
    train_cycle,
    score_generations,
    judge_cycle,
    control_loop,
    track_cycle,
    register_embedding,
    write_outputs,
]
"""Every step, so that settings by step in a run file reach the dynamic pipeline."""


@zenml.pipeline(name="coti_concept", dynamic=True, depends_on=STEPS, enable_cache=True)
def coti_concept(config: RunSettings | None = None) -> None:
    """Learn ``config.concept`` from its seeds and the pool, cycle by cycle (Algorithm 1)."""
    with user_errors():
        wire(prepare(config), Loop())


def wire(config: RunSettings, loop: Loop) -> None:
    """Wire the steps; ``loop`` says how a cycle follows the other."""
    settings = effective(config)
    prints = fingerprints_of(config)
    # An artifact: ZenML's cache keys can leave out artifacts alone, and parameters never.
    device = ExternalArtifact(value=config.model.device)
    params, tags = params_of(config), tags_of(config, prints)
    rules, concept = config.pool_rules, config.concept

    initial, initial_samples, resolution, vocabulary = initialize_embedding(
        settings=settings.only("concept", "model", "token", "generation", "seed"),
        device=device,
        model_fingerprint=prints.base_model,
        initializer_fingerprint=prints.initializer,
    )
    embedding = initial
    manifest, pool_images, pool_source = ingest_pool(
        source=config.pool,
        source_fingerprint=prints.pool,
        resolution=resolution,
        settings=rules,
    )
    accepted, quarantined, validation, validation_report = validate_pool(
        manifest=manifest,
        pool_source=pool_source,
        settings=rules,
        batch=first_batch(settings),
        last_profile=last_profile(config.pool, prints.pool),
    )
    seed_images, training_set = load_seeds(
        source=config.seeds, source_fingerprint=prints.seeds, resolution=resolution
    )
    encoding: dict[str, Any] = {
        "settings": settings.only("scorer", "concept_score", "model", "pool_rules"),
        "device": device,
        "scorer_fingerprint": prints.scorer,
        "model_fingerprint": prints.base_model,
    }
    features, accepted, quarantined = gather_features(
        shards=loop.embed_shards(accepted, rules.feature_shard, pool_images, encoding),
        accepted=accepted,
        quarantined=quarantined,
        seed_images=seed_images,
        text=config.asked_for,
        **encoding,
    )
    references, shortfalls = embed_references(
        settings=settings.only("concept", "references", "evaluation", "generation"),
        resolution=resolution,
        references_fingerprint=prints.references,
        judge_fingerprint=prints.judge,
        ssl_judge_fingerprint=prints.ssl_judge,
    )
    loop.tell(announce_pool, pool_source=pool_source, validation=validation, shortfalls=shortfalls)

    used = {name: settings.only(*keys) for name, keys in USES.items()}
    cheats = strategy_of(settings).sees_ground_truth  # by design, for benchmarks
    if cheats:
        used["select_batch"] = settings.only(*USES["select_batch"], "concept", "ground_truth")
    seeds_concept_scorer = concept_scorer = loop(
        fit_concept_scorer,
        features=features,
        training_set=training_set,
        settings=used["fit_concept_scorer"],
    )
    history: Any = None
    scored: Any = None
    decision: Any = None
    first_head, kept_embedding, kept_features, generated_features = None, None, None, None
    curves: list[Any] = []
    samples: list[Any] = []
    tables: list[Any] = []
    batches: list[Any] = []
    verdicts: list[Any] = []
    cycle, go_on = 0, True
    while go_on:
        head = loop(
            finetune_aesthetic_scorer,
            features=features,
            accepted=accepted,
            seed_images=seed_images,
            training_set=training_set,
            cycle=cycle,
            settings=used["finetune_aesthetic_scorer"],
            ratings_fingerprint=prints.ratings,
        )
        first_head = first_head or head
        scores, picked = None, None
        if selects_at(cycle, settings):
            scores = loop(
                score_pool,
                features=features,
                aesthetic_head=head,
                concept_scorer=concept_scorer,
                training_set=training_set,
                accepted=accepted,
                pool_images=pool_images,
                seed_images=seed_images,
                previous=tables[-1] if tables else None,
                cycle=cycle,
                scored=scored,
                generated_features=generated_features,
                settings=used["score_pool"],
                baselines_fingerprint=prints.baselines,
            )
            training_set, picked, found = loop(
                select_batch,
                scores=scores,
                features=features,
                training_set=training_set,
                accepted=accepted,
                cycle=cycle,
                last=decision,
                generated_features=generated_features,
                settings=used["select_batch"],
                ground_truth_fingerprint=prints.ground_truth if cheats else "",
            )
            if decision is not None:
                decision = found
                if loop.found_nothing(decision):
                    break
            tables.append(scores)
            batches.append(picked)
            concept_scorer = loop(
                fit_concept_scorer,
                features=features,
                training_set=training_set,
                settings=used["fit_concept_scorer"],
            )
        embedding, generated, sampled, curve, training = loop(
            train_cycle,
            cycle=cycle,
            training_set=training_set,
            accepted=accepted,
            pool_images=pool_images,
            seed_images=seed_images,
            aesthetic_head=head,
            concept_scorer=concept_scorer,
            embedding=initial if config.train.reinitialize else embedding,
            settings=used["train_cycle"],
            device=device,
            model_fingerprint=prints.base_model,
        )
        generated_features, scored = loop(
            score_generations,
            generated=generated,
            features=features,
            aesthetic_head=head,
            first_aesthetic_head=first_head,
            concept_scorer=concept_scorer,
            seeds_concept_scorer=seeds_concept_scorer,
            kept_features=kept_features,
            training_set=training_set,
            settings=used["score_generations"],
            device=device,
        )
        verdict = loop(
            judge_cycle,
            generated=generated,
            references=references,
            training_set=training_set,
            accepted=accepted,
            settings=used["judge_cycle"],
            judge_fingerprint=prints.judge,
            ssl_judge_fingerprint=prints.ssl_judge,
            ground_truth_fingerprint=prints.ground_truth,
        )
        kept_embedding, kept_features, history, decision = loop(
            control_loop,
            cycle=cycle,
            history=history,
            training=training,
            scored=scored,
            training_set=training_set,
            accepted=accepted,
            embedding=embedding,
            kept_embedding=kept_embedding,
            generated_features=generated_features,
            kept_features=kept_features,
            settings=settings.controller,
        )
        loop(
            track_cycle,
            concept=concept,
            history=history,
            verdict=verdict,
            training=training,
            curve=curve,
            embedding=embedding,
            samples=sampled,
            scores=scores,
            picked=picked,
            pool_images=pool_images,
            validation_report=validation_report,
            params=params,
            tags=tags,
        )
        curves.append(curve)
        samples.append(sampled)
        verdicts.append(verdict)
        go_on = loop.goes_on(decision)
        cycle += 1

    registration = loop(
        register_embedding,
        concept=concept,
        kept_embedding=kept_embedding,
        history=history,
        verdicts=verdicts,
        decision=decision,
        params=params,
        tags=tags,
        references_fingerprint=prints.references,
        judge_fingerprint=prints.judge,
        promotion=config.promotion,
        vocabulary=vocabulary,
        seed_images=seed_images,
    )
    _, folder = write_outputs(
        concept=concept,
        output=config.output,
        kept_embedding=kept_embedding,
        history=history,
        verdicts=verdicts,
        decision=decision,
        registration=registration,
        curves=curves,
        samples=samples,
        initial_samples=initial_samples,
        seed_images=seed_images,
        scores=tables,
        picked=batches,
        first_selection=0 if selects_at(0, settings) else 1,
        pool_images=pool_images,
        accepted=accepted,
        quarantined=quarantined,
        validation_report=validation_report,
        config=asdict(config),
        lineage=tags,
    )
    loop.tell(
        announce_result,
        history=history,
        verdicts=verdicts,
        decision=decision,
        registration=registration,
        folder=folder,
    )
