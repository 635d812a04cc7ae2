"""One run of a grid over regimes, in the process that computes it.

No ZenML: a grid has thousands of runs, most of them of seconds, and a step costs some twenty. What
runs share stays in the process: models, the last pools' images and features, the references'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.encoders.feature_shards import embed_seeds, embed_shard, gather_shards
from coti.experiments.experiment_run import run_experiment, run_selection
from coti.loop.data import ConceptData
from coti.metrics.ground_truth import read_ground_truth
from coti.metrics.judge import embed_references
from coti.pool.chosen_images import read_chosen_images
from coti.pool.dedupe import without_embedding_duplicates
from coti.pool.ingest import ingest
from coti.pool.references import read_references
from coti.pool.validation import validate
from coti.settings import RunSettings
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
from ops.stack.loop_inputs import captions_of

__all__ = ["Task", "compute"]


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
    data = _data(task=task, settings=settings)
    found = run(models_of(task.settings), data, settings)
    return found if isinstance(found, dict) else found.row


@dataclass(frozen=True)
class _Pool:
    images: ImageSet
    captions: dict[str, str]
    sources: dict[str, str]
    features: TensorBundle
    """Of these images, and of near duplicates that were left out."""
    ground_truth: dict[str, bool]


@on_its_threads
def _data(task: Task, settings: RunSettings) -> ConceptData:
    own = task.settings
    side = text_to_image(own.model).resolution
    encoding = replace(own, concept_score=own.concept_score.encoding)
    encoding = encoding.only("scorer", "concept_score", "model", "pool_rules")
    pool = _pool(task.pool, own.concept, encoding, side)
    seeds, names = _seeds(task.seeds, side)
    encoders = encoders_of(own)
    beside = embed_seeds(
        encoders.scorer, encoders.concept, seeds, own.concept_score.distractors, own.asked_for
    )
    judged = own.only("concept", "evaluation", "baselines", "measurement")
    references, reference_judge = _references(task.references, judged, side, task.trained)
    return ConceptData(
        seeds=seeds,
        pool=pool.images,
        features=gather_shards([pool.features], beside, keep=pool.images.names),
        captions=pool.captions,
        sources={**pool.sources, **names},
        references=references,
        reference_judge=reference_judge.tensors.get("references"),
        ground_truth=pool.ground_truth,
    )


@lru_cache(maxsize=8)
def _seeds(folder: Path, side: int) -> tuple[ImageSet, dict[str, str]]:
    """The images, and id to file name."""
    ids, names, images = read_chosen_images(folder, side)
    return ImageSet(ids, images), dict(zip(ids, names, strict=True))


@lru_cache(maxsize=2)
def _pool(folder: Path, concept: str, settings: RunSettings, side: int) -> _Pool:
    """Ingested, validated and embedded as the pipeline's steps do it."""
    rules, encoders = settings.pool_rules, encoders_of(settings)
    read = ingest(str(folder / "pool"), rules, side)
    judged = validate(read.manifest, rules)
    accepted = judged.accepted
    ids = [str(name) for name in accepted["id"]]
    features = embed_shard(
        encoders.scorer, encoders.concept, ImageSet(ids, read.pool_images.tensor(ids))
    )
    if rules.near_duplicate_cosine:
        accepted, _ = without_embedding_duplicates(
            accepted, judged.quarantined, ids, features["pool"], rules.near_duplicate_cosine
        )
        ids = [str(name) for name in accepted["id"]]
    return _Pool(
        images=ImageSet(ids, read.pool_images.tensor(ids)),
        captions=captions_of(accepted),
        sources=dict(zip(ids, accepted["source"].astype(str), strict=True)),
        features=features,
        ground_truth=read_ground_truth(folder / "ground_truth.csv", concept),
    )


@lru_cache(maxsize=32)
def _references(
    folder: Path, settings: RunSettings, side: int, trained: bool
) -> tuple[TensorBundle, TensorBundle]:
    """Features on the judges, and on the reference judge, which X_T alone does not need."""
    own = settings.evaluation
    images = read_references(folder, side, own.references_half)
    judged = embed_references(
        judge_of(own), settings.concept, images, own, inception_of(own), ssl_judge_of(own)
    )
    if not (trained and settings.measurement.reference_judge):
        return judged, TensorBundle({})
    again = TensorBundle({"references": efficientnet_of(settings).encode_images(images)})
    return judged, again
