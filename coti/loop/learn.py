"""Algorithm 1 in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from coti.core.seeding import derived_seed
from coti.core.threads import on_its_threads
from coti.inversion.adapters.embedding import Embedding
from coti.loop.controller import Decision, decide, stopped_for_want_of_images
from coti.loop.data import ConceptData, Models
from coti.loop.judge_generated import judge_cycle
from coti.loop.plan import effective, selects_at
from coti.loop.record import CycleRecord, record_of, with_verdicts
from coti.loop.score import finetune_aesthetic_scorer, fit_concept_scorer, score_pool, select_batch
from coti.loop.steer import score_generations
from coti.loop.train import train_cycle
from coti.loop.training_set import TrainingSet
from coti.settings import RunSettings

__all__ = ["LearnResult", "learn"]


@dataclass
class LearnResult:
    """What a run leaves."""

    embedding: Embedding
    """The kept cycle's."""
    training_set: TrainingSet
    """The X_T that it was trained on."""
    records: list[CycleRecord]
    """A cycle each, the judge's metrics among them where there is a judge."""
    decision: Decision
    """Why the loop ended, and which cycle is kept."""
    samples: list[torch.Tensor]
    """By cycle, on fixed noise: uint8 [n, 3, h, w]."""
    curves: list[list[dict[str, float | int | None]]] = field(default_factory=list)
    """By cycle, a row an optimizer step."""


@on_its_threads
def learn(
    models: Models,
    data: ConceptData,
    settings: RunSettings,
    *,
    on_cycle: Callable[[CycleRecord, Decision, Embedding], None] | None = None,
) -> LearnResult:
    """Learn an embedding of a concept: score, select, train, generate, evaluate, decide.

    Algorithm 1 of Yang et al. 2023. The same models, data, settings and number of threads give the
    same embedding, bit for bit on a CPU, and the same as the ZenML pipeline gives.

    Args:
        models: the frozen models.
        data: the concept's images and features.
        settings: the run's; paths of files (heads, ratings, initializer) as they are found here.
        on_cycle: called at the end of each cycle, with its own embedding.

    Raises:
        CotiError: settings, images and models that don't go together.
    """
    settings = effective(settings)
    initial = Embedding.initial(
        models.base, settings.token, derived_seed(settings.seed, "initializer"), settings.concept
    )
    training_set = TrainingSet(tuple(data.seeds.names))
    seeds_concept = concept = fit_concept_scorer(data.features, training_set, settings)
    embedding = kept = initial
    kept_set, kept_features, first_head = training_set, None, None
    gammas, columns = (0.0, 0.0), None
    history: list[CycleRecord] = []
    verdicts: list[dict[str, Any]] = []
    samples, curves = [], []
    decision: Decision | None = None
    cycle = 0
    while decision is None or decision.go_on:
        head = finetune_aesthetic_scorer(
            data.features, data.sources, data.seeds, training_set, cycle, models.encoders, settings
        )
        first_head = first_head or head
        if selects_at(cycle, settings):
            pool = score_pool(
                data.features, head, concept, training_set, cycle, gammas, settings,
                previous=columns, sources=data.sources, images=data.pool, seeds=data.seeds,
                efficientnet=models.reference_judge,
            )  # fmt: skip
            columns = pool.columns
            training_set, picked = select_batch(pool, training_set, data.ground_truth)
            if decision is not None and not picked:
                decision = stopped_for_want_of_images(decision, cycle)
                break
            concept = fit_concept_scorer(data.features, training_set, settings)
        trained = train_cycle(
            models.base, models.encoders, head, concept, training_set, cycle, data.seeds, data.pool,
            data.captions, initial if settings.train.reinitialize else embedding, settings,
        )  # fmt: skip
        embedding = trained.embedding
        scored = score_generations(
            trained.generated, models.encoders, head, concept, first_head, seeds_concept,
            data.features, training_set, kept_features,
        )  # fmt: skip
        gammas = (scored.metrics["gamma_aes"], scored.metrics["gamma_con"])
        if models.judge is not None and data.references is not None:
            verdict = judge_cycle(
                trained.generated, data.references, training_set, data.sources, settings,
                models.judge, models.inception, data.ground_truth,
            )  # fmt: skip
            verdicts.append(verdict)
        record = record_of(
            cycle=cycle,
            before=history,
            training_set=training_set,
            accepted=data.features.strings("pool_ids"),
            generated=len(trained.generated),
            training=trained.summary,
            metrics=scored.metrics,
            scoring=scored.seconds,
        )
        history.append(record)
        samples.append(trained.samples)
        curves.append(trained.curve)
        decision = decide(history, settings.controller)
        if decision.best_cycle == cycle:
            kept, kept_set, kept_features = embedding, training_set, scored.features
        if on_cycle is not None:
            shown = with_verdicts(history, verdicts)[-1] if verdicts else record
            on_cycle(shown, decision, embedding)
        cycle += 1
    assert decision is not None
    records = with_verdicts(history, verdicts) if verdicts else history
    return LearnResult(kept, kept_set, records, decision, samples, curves)
