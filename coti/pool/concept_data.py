"""From folders to what the loop works on: ingest, validate, embed, judge the references.

The pipeline's steps do the same one by one, with artifacts between them; here it is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from coti.core.fitting import Fit
from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.encoders.efficientnet import EfficientNetLite0
from coti.encoders.feature_shards import embed_seeds, gather_shards
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder
from coti.loop.data import ConceptData, Models
from coti.loop.inputs import Encoders
from coti.loop.reviewed import reviewed_images, used_seeds
from coti.metrics.ground_truth import read_ground_truth
from coti.metrics.judge import embed_references
from coti.pool.chosen_images import read_chosen_images
from coti.pool.dedupe import without_embedding_duplicates
from coti.pool.entry import PoolSource
from coti.pool.kept_pool import features_of, ingested
from coti.pool.open_source import open_source
from coti.pool.pool_images import PoolImages, StoredImages
from coti.pool.references import read_references
from coti.pool.validation import validate
from coti.selection.decisions import read_review
from coti.settings import PoolSettings, RunSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AcceptedPool",
    "JudgedPool",
    "Seeds",
    "accepted_pool",
    "concept_data",
    "joined",
    "judged_pool",
    "read_negatives",
    "read_seeds",
    "reference_features",
    "with_seeds",
]


@dataclass(frozen=True)
class AcceptedPool:
    """A pool's accepted images and what is known of them."""

    images: ImageSet | StoredImages
    captions: dict[str, str]
    """Id to caption."""
    sources: dict[str, str]
    """Id to file name."""
    features: TensorBundle
    """Of these images, and of near duplicates that were left out."""
    place: str = ""
    """As the user named it; empty of images in memory."""


@dataclass(frozen=True)
class JudgedPool:
    """A pool with all that is known of its inputs, good and bad; the images are in their file."""

    accepted: AcceptedPool
    manifest: pd.DataFrame
    """A row an input, in the source's order."""
    images: PoolImages
    """All that could be decoded."""
    source: PoolSource
    kind: str
    """What the source was taken for."""
    notes: list[str]
    """What a person should know of the source as a whole."""


@dataclass(frozen=True)
class Seeds:
    """Seed images and their files."""

    images: ImageSet
    sources: dict[str, str]
    """Id to file name."""


@on_its_threads
def concept_data(settings: RunSettings, models: Models) -> ConceptData:
    """A concept's images and features, of the folders that the settings name.

    ``seeds``, ``pool``, ``references`` and ``ground_truth`` are taken as they stand: relative paths
    start at the current folder. All accepted images are in memory.

    Raises:
        PoolError: a folder is missing or holds nothing usable, or too little of the pool passes.
    """
    side, fit, references = models.base.resolution, settings.images.rule, None
    seeds = read_seeds(settings.seeds, side, fit)
    pool = accepted_pool(settings.pool, models.encoders, settings.pool_rules, side, fit)
    if models.judge is not None and settings.references is not None:
        half = settings.evaluation.references_half
        references = read_references(settings.references, side, fit, half)
    data = joined(settings, models, seeds, pool, references)
    if settings.ground_truth is None:
        return data
    ground_truth = read_ground_truth(Path(settings.ground_truth), settings.concept)
    return replace(data, ground_truth=ground_truth)


@on_its_threads
def joined(
    settings: RunSettings,
    models: Models,
    seeds: Seeds,
    pool: AcceptedPool,
    references: torch.Tensor | None,  # uint8 [n, 3, h, w], of settings.evaluation.references_half
) -> ConceptData:
    """What was read already, and the references' features where there is a judge."""
    data = with_seeds(pool, seeds, models.encoders, settings)
    if models.judge is None:
        return data
    judged, reference_judge = reference_features(
        settings,
        references,
        models.judge,
        models.inception,
        models.ssl_judge,
        models.reference_judge if settings.measurement.reference_judge else None,
    )
    return replace(data, references=judged, reference_judge=reference_judge)


def read_seeds(folder: str | Path, resolution: int, fit: Fit) -> Seeds:
    """The images of a folder, which must all be good; raises :class:`PoolError`."""
    ids, names, images = read_chosen_images(folder, resolution, fit)
    return Seeds(ImageSet(ids, images), dict(zip(ids, names, strict=True)))


def read_negatives(
    folders: Sequence[str | Path], resolution: int, fit: Fit
) -> Iterator[torch.Tensor]:
    """The images of each folder of ``aesthetic.negatives``, one in memory at a time; uint8
    [n, 3, resolution, resolution].

    Raises:
        PoolError: there is no such folder, or one of its files is no image.
    """
    for folder in folders:
        yield read_chosen_images(folder, resolution, fit)[2]


def accepted_pool(
    source: str | PoolSource,
    encoders: Encoders,
    rules: PoolSettings,
    resolution: int,  # pixels a side
    fit: Fit,  # how an image becomes such a square
) -> AcceptedPool:
    """Ingest, validate and embed a pool of any kind; raises :class:`PoolError`."""
    found = judged_pool(source, encoders, rules, resolution, fit).accepted
    names = found.images.names
    return replace(found, images=ImageSet(names, found.images.tensor(names)))


def judged_pool(
    source: str | PoolSource,
    encoders: Encoders,
    rules: PoolSettings,
    resolution: int,  # pixels a side
    fit: Fit,
    keep: Path | None = None,  # folder of what was read and computed, by which a killed run goes on
) -> JudgedPool:
    """:func:`accepted_pool` of any size: no more than a shard's images are in memory at once."""
    import pandas as pd

    place = ""
    if isinstance(source, str):
        place = source
        source = open_source(source, rules, cache_dir=keep)
    read, folder = ingested(source, rules, resolution, fit, keep)
    judged = validate(read.manifest, rules)
    accepted, quarantined = judged.accepted, judged.quarantined
    ids = [str(name) for name in accepted["id"]]
    features = features_of(encoders, read.pool_images, ids, rules.feature_shard, folder)
    if rules.near_duplicate_cosine:
        accepted, quarantined = without_embedding_duplicates(
            accepted, quarantined, ids, features["pool"], rules.near_duplicate_cosine
        )
        ids = [str(name) for name in accepted["id"]]
    captions = accepted["caption"].fillna("").astype(str)
    found = AcceptedPool(
        images=StoredImages(ids, read.pool_images),
        captions=dict(zip(ids, captions, strict=True)),
        sources=dict(zip(ids, accepted["source"].astype(str), strict=True)),
        features=features,
        place=place,
    )
    rows = pd.concat([accepted, quarantined]).set_index("id", drop=False)
    manifest = rows.loc[read.manifest["id"]].reset_index(drop=True)
    notes = [*read.notes, *judged.warnings]
    return JudgedPool(found, manifest, read.pool_images, source, read.kind, notes)


def with_seeds(
    pool: AcceptedPool, seeds: Seeds, encoders: Encoders, settings: RunSettings
) -> ConceptData:
    """Pool and seeds as what a run works on, without references; what a review says is in place.

    Raises:
        ConfigError: ``selection.review`` names no image of the pool, or drops the seeds.
        StoreError: a file of it cannot be used.
    """
    at = settings.selection.review
    review = None if at is None else read_review(at)
    used = used_seeds(review, seeds.images.names)
    beside_pool = ImageSet([seeds.images.names[place] for place in used], seeds.images.images[used])
    reviewed = None
    if review is not None:
        ids = (pool.images.names, beside_pool.names)
        reviewed = reviewed_images(review, *ids, pool.place, str(at))
    beside = embed_seeds(
        encoders.scorer,
        encoders.concept,
        beside_pool,
        settings.concept_score.distractors,
        settings.asked_for,
        read_negatives(
            settings.aesthetic.negatives, beside_pool.images.shape[-1], settings.images.rule
        ),
    )
    return ConceptData(
        seeds=beside_pool,
        pool=pool.images,
        features=gather_shards([pool.features], beside, keep=pool.images.names),
        captions={**pool.captions, **(reviewed.captions if reviewed else {})},
        sources={**pool.sources, **seeds.sources},
        reviewed=reviewed,
    )


def reference_features(
    settings: RunSettings,  # concept, evaluation
    images: torch.Tensor | None,  # the references, uint8 [n, 3, h, w]
    judge: ImageTextEncoder,
    inception: ImageEncoder | None = None,
    ssl_judge: ImageEncoder | None = None,
    reference_judge: Callable[[], EfficientNetLite0] | None = None,
) -> tuple[TensorBundle, torch.Tensor | None]:
    """The references' features on the judges, and on the reference judge, float32 [n, 320].

    Without references there are the captions' alone.
    """
    own = settings.evaluation
    judged = embed_references(judge, settings.concept, images, own, inception, ssl_judge)
    if images is None or reference_judge is None:
        return judged, None
    return judged, reference_judge().encode_images(images)
