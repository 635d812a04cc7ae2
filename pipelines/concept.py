"""The main pipeline: a loop over cycles, driven by the controller step's output alone."""

from __future__ import annotations

from typing import Any

import zenml

from ops.plan import plan_of
from ops.run_file import CotiConfig, load_config
from ops.stack.artifact_store import require_artifact_store
from ops.stack.package_map import remember_packages
from ops.stack.pods import mend_pods
from ops.stack.source_hashes import hash_sources_once
from ops.terminal import user_errors
from ops.tracking.lineage import fingerprints_of, params_of, tags_of
from ops.tracking.pool_history import last_profile
from pipelines.loops import DynamicLoop, Loop
from steps.control_loop import control_loop
from steps.embed_pool import embed_pool
from steps.embed_references import embed_references
from steps.evaluate_cycle import evaluate_cycle
from steps.finetune_aesthetic_scorer import finetune_aesthetic_scorer
from steps.gather_features import gather_features
from steps.ingest_pool import ingest_pool
from steps.initialize_embedding import initialize_embedding
from steps.load_seeds import load_seeds
from steps.register_embedding import register_embedding
from steps.score_pool import score_pool
from steps.select_batch import select_batch
from steps.shard_pool import shard_pool
from steps.track_cycle import track_cycle
from steps.train_cycle import train_cycle
from steps.validate_pool import validate_pool
from steps.write_outputs import write_outputs

__all__ = ["STEPS", "coti_concept", "learn"]

# Not in the function below: the controller's own pod is made before that runs.
mend_pods()
hash_sources_once()

STEPS = [
    ingest_pool,
    validate_pool,
    load_seeds,
    shard_pool,
    embed_pool,
    gather_features,
    embed_references,
    initialize_embedding,
    finetune_aesthetic_scorer,
    score_pool,
    select_batch,
    train_cycle,
    evaluate_cycle,
    control_loop,
    track_cycle,
    register_embedding,
    write_outputs,
]
"""Every step, so that settings by step in a run file reach the dynamic pipeline."""


@zenml.pipeline(name="coti_concept", dynamic=True, depends_on=STEPS, enable_cache=True)
def coti_concept(config: CotiConfig | None = None) -> None:
    """Learn ``config.concept`` from its seeds and the pool, cycle by cycle (Algorithm 1)."""
    remember_packages()
    with user_errors():
        learn(config or load_config(), DynamicLoop())


def learn(config: CotiConfig, loop: Loop) -> None:
    """Wire the steps; ``loop`` says how a cycle follows the other."""
    require_artifact_store()
    plan = plan_of(config)
    prints = fingerprints_of(config)
    params, tags = params_of(config), tags_of(config, prints)
    seed = config.seed

    initial, initial_samples, resolution, vocabulary = initialize_embedding(
        config.concept,
        config.model,
        prints.base_model,
        config.token,
        prints.initializer,
        config.generation,
        seed,
    )
    embedding = initial
    rules = config.pool_rules
    manifest, pool_images, pool_source = ingest_pool(config.pool, prints.pool, resolution, rules)
    accepted, quarantined, validation, validation_report = validate_pool(
        manifest, pool_source, rules, plan.batch, last_profile(config.pool, prints.pool)
    )
    loop.announce_pool(pool_source, validation)
    seed_images, training_set = load_seeds(config.seeds, prints.seeds, resolution)
    encoders = (
        config.scorer,
        prints.scorer,
        config.concept_score,
        config.model,
        prints.base_model,
    )
    features, accepted, quarantined = gather_features(
        loop.embed_shards(accepted, rules.feature_shard, pool_images, *encoders),
        accepted,
        quarantined,
        seed_images,
        rules,
        *encoders,
    )
    references = embed_references(
        config.concept,
        config.references,
        prints.references,
        config.evaluation,
        prints.judge,
        resolution,
        config.generation.cycle_images,
    )

    history: Any = None
    evaluation: Any = None
    decision: Any = None
    first_head, best_so_far, kept_features = None, None, None
    curves: list[Any] = []
    samples: list[Any] = []
    tables: list[Any] = []
    batches: list[Any] = []
    cycle, go_on = 0, True
    while go_on:
        head = loop(
            finetune_aesthetic_scorer,
            features,
            accepted,
            seed_images,
            training_set,
            cycle,
            config.scorer,
            config.aesthetic,
            prints.ratings,
            seed,
        )
        first_head = first_head or head
        scores, picked = None, None
        if cycle > 0 or plan.selects_first:
            scores = loop(
                score_pool,
                features,
                head,
                training_set,
                tables[-1] if tables else None,
                cycle,
                evaluation,
                config.concept_score,
                plan.selection,
                seed,
            )
            training_set, picked = loop(
                select_batch,
                scores,
                features,
                training_set,
                cycle,
                config.strategy,
                plan.selection,
                seed,
            )
            tables.append(scores)
            batches.append(picked)
        embedding, generated, drawn, curve, training = loop(
            train_cycle,
            cycle,
            training_set,
            accepted,
            pool_images,
            seed_images,
            features,
            head,
            initial if config.train.reinitialize else embedding,
            config.model,
            prints.base_model,
            config.scorer,
            config.concept_score,
            config.token,
            plan.train,
            config.schedule,
            config.generation,
            seed,
        )
        generated_features, evaluation = loop(
            evaluate_cycle,
            generated,
            references,
            features,
            head,
            first_head,
            kept_features,
            training_set,
            accepted,
            config.concept,
            config.model,
            config.scorer,
            config.concept_score,
            config.evaluation,
            prints.judge,
            config.ground_truth,
            prints.ground_truth,
            seed,
        )
        best_so_far, kept_features, history, decision = loop(
            control_loop,
            cycle,
            history,
            training,
            evaluation,
            training_set,
            accepted,
            embedding,
            best_so_far,
            generated_features,
            kept_features,
            plan.controller,
            f"fd_{config.evaluation.fd_name}",
        )
        loop(
            track_cycle,
            config.concept,
            history,
            decision,
            training,
            evaluation,
            curve,
            embedding,
            drawn,
            scores,
            picked,
            pool_images,
            validation_report,
            params,
            tags,
        )
        curves.append(curve)
        samples.append(drawn)
        go_on = loop.goes_on(decision)
        cycle += 1

    registration = loop(
        register_embedding,
        config.concept,
        best_so_far,
        history,
        decision,
        evaluation,
        params,
        tags,
        prints.references,
        prints.judge,
        config.promotion,
        vocabulary,
        seed_images,
    )
    _, folder = write_outputs(
        config.concept,
        config.output,
        best_so_far,
        history,
        decision,
        registration,
        curves,
        samples,
        initial_samples,
        seed_images,
        tables,
        batches,
        pool_images,
        accepted,
        quarantined,
        validation_report,
        config.model_dump(mode="json"),
        tags,
    )
    loop.announce(history, decision, registration, folder)
