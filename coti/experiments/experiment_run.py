"""One run of an experiment, from the untrained embedding to its metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from coti.core.image_set import ImageSet
from coti.core.threads import on_its_threads
from coti.inversion.adapters.embedding import Embedding
from coti.loop.data import ConceptData, Models
from coti.loop.learn import LearnResult, learn, select_at_once
from coti.loop.measurement import generated_for, measure, measure_training_set
from coti.loop.plan import NO_TRAINING
from coti.metrics.table import METRICS
from coti.settings import RunSettings

__all__ = ["ExperimentResult", "run_experiment", "run_selection"]


@dataclass
class ExperimentResult:
    """What a run of an experiment leaves."""

    row: dict[str, Any]
    """Its metrics; None where one is not defined."""
    cycles: list[dict[str, Any]]
    """A row a cycle, of :meth:`coti.loop.record.CycleRecord.row`."""
    embedding: Embedding | None
    """The kept one; None without textual inversion."""
    samples: ImageSet
    """On fixed noise, ``sample_images`` a cycle, named ``c<cycle>-<number>``; the kept
    embedding's under ``final-<number>``."""
    selected: list[str]
    """File names of the pool's images in the kept embedding's X_T."""


@on_its_threads
def run_experiment(models: Models, data: ConceptData, settings: RunSettings) -> ExperimentResult:
    """Train by one strategy, keep the best cycle's embedding, and measure what it generates.

    The same models, data, settings and number of threads give the same numbers.

    Raises:
        CotiError: settings, images and models that don't go together.
    """
    started = time.monotonic()
    learned: LearnResult | None = None
    if settings.strategy != NO_TRAINING:
        learned = learn(models, data, settings)
    embedding = None if learned is None else learned.embedding
    training_set = None if learned is None else learned.training_set
    count = settings.generation.sample_images
    final = generated_for(models.base, embedding, settings, count, "sample")
    metrics = measure(models, data, settings, embedding, training_set)
    selected = [data.sources[name] for name in training_set.selected] if training_set else []
    row = {
        "concept": settings.concept,
        "strategy": settings.strategy,
        "seed": settings.seed,
        **{name: metrics.get(name) for name in METRICS if not METRICS[name].steers},
        "images": len(selected),
        "image_steps": 0 if learned is None else learned.records[-1].image_steps,
        "image_step_cap": 0 if learned is None else settings.image_step_cap,
        "seconds": time.monotonic() - started,
    }
    by_cycle = [] if learned is None else learned.samples
    parts = [*((f"c{number}", images) for number, images in enumerate(by_cycle)), ("final", final)]
    return ExperimentResult(
        row,
        [] if learned is None else [record.row() for record in learned.records],
        embedding,
        ImageSet(
            [f"{name}-{number:04d}" for name, each in parts for number in range(len(each))],
            torch.cat([each for _, each in parts]),
        ),
        selected,
    )


@on_its_threads
def run_selection(models: Models, data: ConceptData, settings: RunSettings) -> dict[str, Any]:
    """What a strategy's X_T is worth, untrained: a row as `run_experiment`'s, fewer metrics.

    Raises:
        ConfigError: the strategy grows by cycles.
        CotiError: settings, images and models that don't go together.
    """
    started = time.monotonic()
    training_set = select_at_once(models, data, settings)
    return {
        "concept": settings.concept,
        "strategy": settings.strategy,
        "seed": settings.seed,
        **measure_training_set(models, data, training_set),
        "images": len(training_set.selected),
        "seconds": time.monotonic() - started,
    }
