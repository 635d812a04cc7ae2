"""What ``coti.learn`` learns of a workspace's concept, in this process and without ZenML.

``test_one_loop.py`` shows that this is what the pipelines learn, bit for bit; so every other test
that asks for the embedding of an undisturbed run takes it from here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from coti import learn
from coti.core.image_set import ImageSet
from coti.encoders.feature_shards import embed_seeds, embed_shard, gather_shards
from coti.inversion.adapters.embedding import Embedding
from coti.loop.data import ConceptData, Models
from coti.pool.chosen_images import read_chosen_images
from coti.pool.dedupe import without_embedding_duplicates
from coti.pool.ingest import ingest
from coti.pool.validation import validate
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings
from ops.stack.loaded_models import located, models_of
from ops.stack.loop_inputs import captions_of
from tests.e2e.conftest import TINY, Workspace

__all__ = ["concept_data", "learned", "run_settings", "vectors_of"]


def run_settings(space: Workspace, **changes: Any) -> RunSettings:
    """The settings of ``space.config(…, **changes)``, its files found."""
    values = {**TINY, **changes}
    for name in ("seeds", "pool", "references", "ground_truth"):
        if values[name] is not None:
            values[name] = str(space.root / values[name])
    return located(parse_settings(values, "a test"))


def concept_data(settings: RunSettings, models: Models) -> ConceptData:
    """What the pipeline's steps before the loop make, by the same functions."""
    rules, encoders = settings.pool_rules, models.encoders
    pool = ingest(settings.pool, rules, models.base.resolution)
    found = validate(pool.manifest, rules)
    accepted, ids = found.accepted, [str(name) for name in found.accepted["id"]]
    names, files, images = read_chosen_images(settings.seeds, models.base.resolution)
    seeds = ImageSet(names, images)
    pool_images = ImageSet(ids, pool.pool_images.tensor(ids))
    shard = embed_shard(encoders.scorer, encoders.concept, pool_images)
    of_seeds = embed_seeds(
        encoders.scorer,
        encoders.concept,
        seeds,
        settings.concept_score.distractors,
        settings.asked_for,
    )
    features = gather_shards([shard], of_seeds)
    if rules.near_duplicate_cosine:
        accepted, _ = without_embedding_duplicates(
            accepted, found.quarantined, ids, features["pool"], rules.near_duplicate_cosine
        )
        features = gather_shards([shard], of_seeds, keep=accepted["id"])
    sources = dict(zip(accepted["id"].astype(str), accepted["source"], strict=True))
    return ConceptData(
        seeds=seeds,
        pool=pool_images,
        features=features,
        captions=captions_of(accepted),
        sources={**sources, **dict(zip(names, files, strict=True))},
    )


def learned(space: Workspace, **changes: Any) -> bytes:
    """The tensor's bytes of the embedding that a run of ``space.config(…, **changes)`` learns."""
    # Every workspace has the same images: one training for all of them.
    key = json.dumps(changes, sort_keys=True)
    if key not in _KNOWN:
        settings = run_settings(space, **changes)
        models = replace(models_of(settings), judge=None)
        result = learn(models, concept_data(settings, models), settings)
        _KNOWN[key] = vectors_of(result.embedding)
    return _KNOWN[key]


_KNOWN: dict[str, bytes] = {}


def vectors_of(embedding: Embedding) -> bytes:
    """The tensor's bytes."""
    (vectors,) = embedding.parts
    return bytes(vectors.numpy().tobytes())
