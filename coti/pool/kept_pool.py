"""What was read and computed of a pool, kept in a folder, so that a killed command goes on.

What is kept is found by what it was made of: the source's fingerprint and the rules for the images,
the images and the encoders' own answers for the features. A pool of which something failed that may
go well the next time is read again. Whoever removes the folder loses time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.fitting import Fit
from coti.core.image_set import ImageSet
from coti.core.progress import progress_bar
from coti.core.tensors import TensorBundle
from coti.core.whole_files import tensor_hash, write_whole
from coti.encoders.feature_shards import embed_shard, gather_shards, split_into_shards
from coti.encoders.protocol import ImageEncoder
from coti.loop.inputs import Encoders
from coti.pool.entry import PoolSource
from coti.pool.ingest import IngestedPool, ingest
from coti.pool.manifest import read_manifest, write_manifest
from coti.pool.pool_images import PoolImages
from coti.pool.reasons import PASSING
from coti.settings import PoolSettings

__all__ = ["features_of", "ingested"]

_RULES = 2
"""Another number where this version of the code reads, decodes or looks in another way."""
_SPEED = ("workers", "read_threads", "feature_shard", "max_inputs")
"""Settings that decide nothing about what is read."""


def ingested(
    source: PoolSource, rules: PoolSettings, side: int, fit: Fit, keep: Path | None
) -> tuple[IngestedPool, Path | None]:
    """:func:`coti.pool.ingest.ingest`, once for a source and rules, and a folder for the features.

    Without ``keep`` nothing is kept.
    """
    if keep is None:
        return ingest(source, rules, side, fit=fit), None
    fingerprint = source.fingerprint()
    reading = {name: value for name, value in asdict(rules).items() if name not in _SPEED}
    made_of = [_RULES, source.kind, fingerprint, reading, side, asdict(fit)]
    folder = keep / _hash(made_of)
    table, said = folder / "manifest.parquet", folder / "source.json"
    if table.is_file():
        values = json.loads(said.read_text(encoding="utf-8"))
        images = PoolImages(folder / "images.parquet")
        return IngestedPool(
            read_manifest(table), images, values["kind"], values["notes"], source
        ), folder
    found = ingest(source, rules, side, fit=fit, cache_dir=folder, fingerprint=fingerprint)
    values = {"kind": found.kind, "notes": found.notes}
    write_whole(said, json.dumps(values).encode())
    if not found.manifest["reason"].isin(PASSING).any():  # else it is read again the next time
        write_manifest(found.manifest, table)  # last: it says that all is there
    return found, folder


def features_of(
    encoders: Encoders,
    images: PoolImages,
    ids: Sequence[str],  # of the images that are meant, in their order
    shard: int,  # images at once in memory
    folder: Path | None,  # where each shard's features are kept
) -> TensorBundle:
    """Features of a pool's images as :func:`coti.encoders.feature_shards.gather_shards` has them,
    without seeds; no more images than a shard's are in memory."""
    answers = [] if folder is None else _answers(encoders)
    shards = []
    with progress_bar(what="features", total=len(ids), unit=" images") as progress:
        for some in split_into_shards(ids, shard):
            path = None
            if folder is not None:
                pngs = [images.hashes[name].hex() for name in some]
                path = folder / f"features-{_hash([_RULES, answers, some, pngs])}.safetensors"
            found = path and _kept(path, some)
            if not found:
                found = embed_shard(
                    encoders.scorer, encoders.concept, ImageSet(some, images.tensor(some))
                )
                if path is not None:
                    found.save(path)
            shards.append(found)
            progress.update(len(some))
    return gather_shards(shards, TensorBundle({}))


def _kept(path: Path, ids: list[str]) -> TensorBundle | None:
    """A shard's features, where they are there and whole."""
    with suppress(ModelError, KeyError, ValueError):
        if path.is_file():
            found = TensorBundle.load(path)
            if found.strings("pool_ids") == ids:
                return found
    return None


def _answers(encoders: Encoders) -> list[str]:
    """What each encoder says of one image of noise: another answer, another encoder.

    Its name tells neither its weights nor the processor it computes on.
    """
    side = encoders.scorer.input_size
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=draw)
    both: list[ImageEncoder] = [encoders.scorer]
    if encoders.concept is not None:
        both.append(encoders.concept)
    return [f"{each.name} {tensor_hash(each.encode_images(noise))}" for each in both]


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
