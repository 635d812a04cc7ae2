"""One run of a grid over regimes, in the process that computes it.

No ZenML: a grid has thousands of runs, most of them of seconds, and a step costs some twenty. What
runs share stays in the process: models, the last pools' images and features, the references'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.experiments.experiment_run import run_experiment, run_selection
from coti.loop.data import ConceptData
from coti.metrics.ground_truth import read_ground_truth
from coti.pool.concept_data import (
    AcceptedPool,
    Seeds,
    accepted_pool,
    read_seeds,
    reference_features,
    with_seeds,
)
from coti.pool.references import read_references
from coti.settings import ImageSettings, RunSettings
from ops.stack.loaded_models import (
    efficientnet_of,
    encoders_of,
    inception_of,
    judge_of,
    located,
    models_of,
    ssl_judge_of,
    text_to_image,
)

__all__ = ["Task", "compute", "data_of"]


@dataclass(frozen=True)
class Task:
    """What a process needs to know of a run."""

    settings: RunSettings
    trained: bool
    pool: Path
    """With ``pool/`` and ``ground_truth.csv``."""
    seeds: Path
    references: Path


def compute(task: Task) -> dict[str, Any]:
    """The run's row: of training and all metrics, or of X_T alone."""
    settings = located(task.settings)
    run = run_experiment if task.trained else run_selection
    data = data_of(task, settings)
    found = run(models_of(task.settings), data, settings)
    return found if isinstance(found, dict) else found.row


@on_its_threads
def data_of(task: Task, settings: RunSettings) -> ConceptData:
    """The run's images and features; ``settings`` are its own with paths as they are found here."""
    own = task.settings
    side = text_to_image(own.model).resolution
    encoding = replace(own, concept_score=own.concept_score.encoding)
    encoding = encoding.only("scorer", "concept_score", "model", "images", "pool_rules")
    judged = own.only("concept", "images", "evaluation", "baselines", "measurement")
    references, reference_judge = _references(task.references, judged, side, task.trained)
    return replace(
        with_seeds(
            _pool(task.pool, encoding, side),
            _seeds(task.seeds, own.images, side),
            encoders_of(own),
            settings,
        ),
        references=references,
        reference_judge=reference_judge,
        ground_truth=read_ground_truth(task.pool / "ground_truth.csv", own.concept),
    )


@lru_cache(maxsize=8)
def _seeds(folder: Path, images: ImageSettings, side: int) -> Seeds:
    return read_seeds(folder, side, images.rule)


@lru_cache(maxsize=2)
def _pool(folder: Path, settings: RunSettings, side: int) -> AcceptedPool:
    rules, fit = settings.pool_rules, settings.images.rule
    return accepted_pool(str(folder / "pool"), encoders_of(settings), rules, side, fit)


@lru_cache(maxsize=32)
def _references(
    folder: Path, settings: RunSettings, side: int, trained: bool
) -> tuple[TensorBundle, torch.Tensor | None]:
    """Features on the judges, and on the reference judge, which X_T alone does not need."""
    own = settings.evaluation
    return reference_features(
        settings,
        read_references(folder, side, settings.images.rule, own.references_half),
        judge_of(own),
        inception_of(own),
        ssl_judge_of(own),
        partial(efficientnet_of, settings)
        if trained and settings.measurement.reference_judge
        else None,
    )
