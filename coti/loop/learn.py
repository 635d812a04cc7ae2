"""Algorithm 1 in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from coti.core.errors import ConfigError
from coti.core.seeding import derived_seed
from coti.core.threads import on_its_threads
from coti.encoders.efficientnet import EfficientNetLite0
from coti.inversion.adapters.embedding import Embedding
from coti.loop.controller import Decision, decide, stopped_for_want_of_images
from coti.loop.data import ConceptData, Models
from coti.loop.facts import generation_facts
from coti.loop.fit_scorers import finetune_aesthetic_scorer, fit_concept_scorer
from coti.loop.inputs import Encoders
from coti.loop.judge_cycle import judge_cycle
from coti.loop.missing_captions import load_captioner
from coti.loop.plan import effective, selects_at
from coti.loop.preflight import preflight
from coti.loop.record import CycleRecord, record_of, with_judged
from coti.loop.score_generations import score_generations
from coti.loop.score_pool import score_pool
from coti.loop.select_batch import select_batch
from coti.loop.state import LoopState
from coti.loop.train_cycle import train_cycle
from coti.loop.training_set import TrainingSet
from coti.loop.verdict import Verdict, verdict_of
from coti.selection import PoolView
from coti.settings import RunSettings

__all__ = ["LearnResult", "learn", "select_at_once", "selected_at_once"]


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
    verdict: Verdict
    """Whether it worked, from facts that need no ground truth."""
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
    embedding = kept = initial
    state = LoopState(TrainingSet(tuple(data.seeds.names)))
    state = state.with_concept(fit_concept_scorer(state, data.features, settings))
    kept_set = state.training_set
    history: list[CycleRecord] = []
    judged: list[dict[str, Any]] = []
    facts: dict[str, float] | None = None
    captioner = load_captioner(settings, models.encoders.scorer)
    samples, curves = [], []
    decision: Decision | None = None
    while decision is None or decision.go_on:
        state, _ = _selected(state, models.encoders, data, settings, models.reference_judge)
        if facts is None:
            assert state.head is not None
            facts = preflight(
                data.features, state.head, data.seeds, models.base, models.encoders, settings
            )
        if decision is not None and _adds_nothing(state, settings):
            decision = stopped_for_want_of_images(decision, state.cycle)
            break
        trained = train_cycle(
            state,
            models.base,
            models.encoders,
            seeds=data.seeds,
            pool=data.pool,
            captions=data.captions,
            start=initial if settings.train.reinitialize else embedding,
            settings=settings,
            captioner=captioner,
        )
        embedding = trained.embedding
        scored = score_generations(state, trained.generated, models.encoders, data.features)
        if models.judge is not None and data.references is not None:
            said = judge_cycle(
                generated=trained.generated,
                references=data.references,
                training_set=state.training_set,
                sources=data.sources,
                settings=settings,
                judge=models.judge,
                inception=models.inception,
                ssl_judge=models.ssl_judge,
                ground_truth=data.ground_truth,
            )
            judged.append(said)
        record = record_of(
            cycle=state.cycle,
            before=history,
            training_set=state.training_set,
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
        features = state.kept
        if decision.kept_cycle == state.cycle:
            kept, kept_set, features = embedding, state.training_set, scored.features
            statistics = scored.statistics
        if on_cycle is not None:
            shown = with_judged(history, judged)[-1] if judged else record
            on_cycle(shown, decision, embedding)
        state = state.next_cycle(scored.gammas, kept=features, generated=scored.features)
    assert facts is not None
    assert state.kept is not None
    verdict = verdict_of(facts | generation_facts(state.kept, statistics, data.features, kept_set))
    records = with_judged(history, judged) if judged else history
    return LearnResult(kept, kept_set, records, decision, verdict, samples, curves)


@on_its_threads
def select_at_once(models: Models, data: ConceptData, settings: RunSettings) -> TrainingSet:
    """The X_T that `learn` would train on, of a strategy that adds all images at once.

    For what X_T is worth by itself: seconds instead of a minute of training. Neither the judge nor
    the base model has a part in it.

    Raises:
        ConfigError: the strategy grows by cycles: what it picks depends on what was trained.
        CotiError: as `learn`.
    """
    state, _ = selected_at_once(models.encoders, data, settings, models.reference_judge)
    return state.training_set


@on_its_threads
def selected_at_once(
    encoders: Encoders,
    data: ConceptData,
    settings: RunSettings,
    reference_judge: Callable[[], EfficientNetLite0] | None = None,
) -> tuple[LoopState, PoolView | None]:
    """X_T of :func:`select_at_once` with the scorers that chose it, and the pool as they saw it;
    None where the strategy selects nothing.

    Raises:
        CotiError: as :func:`select_at_once`.
    """
    settings = effective(settings)
    if settings.growth != "at_once":
        raise ConfigError(
            f"strategy {settings.strategy} picks by what the last cycle's embedding generates: "
            "its X_T is known after training alone."
        )
    state = LoopState(TrainingSet(tuple(data.seeds.names)))
    if not selects_at(0, settings):
        return state, None
    state = state.with_concept(fit_concept_scorer(state, data.features, settings))
    return _selected(state, encoders, data, settings, reference_judge)


def _selected(
    state: LoopState,
    encoders: Encoders,
    data: ConceptData,
    settings: RunSettings,
    reference_judge: Callable[[], EfficientNetLite0] | None,
) -> tuple[LoopState, PoolView | None]:
    """Stations 1 to 3: both scorers fitted, and where this cycle selects, X_T with its images and
    the pool before."""
    head = finetune_aesthetic_scorer(
        state, data.features, data.sources, data.seeds, encoders, settings, data.reviewed
    )
    state = state.with_head(head)
    if not selects_at(state.cycle, settings):
        return state, None
    pool = score_pool(
        state,
        data.features,
        settings,
        sources=data.sources,
        reviewed=data.reviewed,
        images=data.pool,
        seeds=data.seeds,
        efficientnet=reference_judge,
    )
    grown = select_batch(state, pool, data.ground_truth)
    state = replace(state, training_set=grown, columns=pool.columns)
    return state.with_concept(fit_concept_scorer(state, data.features, settings)), pool


def _adds_nothing(state: LoopState, settings: RunSettings) -> bool:
    return selects_at(state.cycle, settings) and not state.training_set.added_in(state.cycle)
