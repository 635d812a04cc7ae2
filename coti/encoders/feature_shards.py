"""A pool's features, once an image, in shards that any number of workers may compute.

A shard is a list of ids. Its features are a :class:`~coti.core.tensors.TensorBundle` of its own:
``pool`` (float32 [n, d], L2-normalised, of the scorer), ``pool_concept`` where ℰ of Eq. 8 is
another encoder, ``pool_statistics`` ([n, 4], :mod:`coti.core.image_statistics`), and ``pool_ids``.
:func:`gather_shards` joins them, out of memory where there are several.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch

from coti.core.image_set import ImageSet
from coti.core.image_statistics import image_statistics
from coti.core.tensors import TensorBundle
from coti.core.whole_files import temporary_folder
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized

__all__ = ["THINGS", "embed_seeds", "embed_shard", "gather_shards", "split_into_shards"]

THINGS = (
    *("thing", "product", "person", "animal", "plant", "food", "building", "vehicle"),
    *("piece of furniture", "landscape", "pattern", "text", "logo", "drawing", "screenshot"),
)
"""What an image may show instead of a concept of which no look-alike is named."""


def split_into_shards(ids: Sequence[str], size: int) -> list[list[str]]:
    """Lists of at most ``size`` ids, in order; one empty list of no ids.

    >>> split_into_shards(["a", "b", "c"], 2)
    [['a', 'b'], ['c']]
    """
    return [list(ids[first : first + size]) for first in range(0, len(ids), size)] or [[]]


def embed_shard(
    encoder: ImageTextEncoder, concept_encoder: ImageEncoder | None, pool: ImageSet
) -> TensorBundle:
    """Features of one shard's images on the scorer, and on ℰ of Eq. 8 where it isn't the scorer."""
    tensors = {
        "pool": normalized(encoder.encode_images(pool.images)),
        "pool_statistics": image_statistics(pool.images),
    }
    if concept_encoder is not None:
        tensors["pool_concept"] = normalized(concept_encoder.encode_images(pool.images))
    return TensorBundle(tensors).with_strings("pool_ids", pool.names)


def embed_seeds(
    encoder: ImageTextEncoder,
    concept_encoder: ImageEncoder | None,
    seeds: ImageSet,
    distractors: Sequence[str],
    text: str = "",
    negatives: Iterable[torch.Tensor] = (),
) -> TensorBundle:
    """Features of the seeds, of other images and of names, beside those of the shards.

    Of ``negatives``, uint8 [n, 3, h, w] each, it has ``negatives_0`` [n, d] and so on. With
    ``text``, words for the concept, it has ``concept_text`` [1, d], and as ``other_texts`` [m, d]
    the names of look-alikes, or where there are none those of :data:`THINGS`.
    """
    tensors = {
        "seeds": normalized(encoder.encode_images(seeds.images)),
        "seeds_statistics": image_statistics(seeds.images),
    }
    if concept_encoder is not None:
        tensors["seeds_concept"] = normalized(concept_encoder.encode_images(seeds.images))
    elif distractors:
        tensors["distractors"] = _named(encoder, distractors)
    if text:
        tensors["concept_text"] = _named(encoder, [text])
        tensors["other_texts"] = _named(encoder, distractors or THINGS)
    for number, images in enumerate(negatives):
        tensors[f"negatives_{number}"] = normalized(encoder.encode_images(images))
    return TensorBundle(tensors).with_strings("seed_ids", seeds.names)


def _named(encoder: ImageTextEncoder, names: Sequence[str]) -> torch.Tensor:
    """Text features of names, L2-normalised [n, d]."""
    return normalized(encoder.encode_texts([f"a photo of a {name}" for name in names]))


def gather_shards(
    shards: Sequence[TensorBundle], seeds: TensorBundle, keep: Collection[str] | None = None
) -> TensorBundle:
    """Shards, in the pool's order, and seeds as the one bundle that the cycles read.

    Without ``keep``, ids of the pool, all of it is kept.
    """
    ids = [shard.strings("pool_ids") for shard in shards]
    places = None
    if keep is not None:
        kept = set(keep)
        places = [[i for i, name in enumerate(some) if name in kept] for some in ids]
        ids = [[some[i] for i in chosen] for some, chosen in zip(ids, places, strict=True)]
    tensors = dict(seeds.tensors)
    for name in ("pool", "pool_concept", "pool_statistics"):
        if name in shards[0].tensors:
            tensors[name] = _joined([shard[name] for shard in shards], places)
    bundle = TensorBundle(tensors, dict(seeds.metadata))
    return bundle.with_strings("pool_ids", [name for some in ids for name in some])


def _joined(parts: Sequence[torch.Tensor], places: list[list[int]] | None) -> torch.Tensor:
    """Rows [n, d] of all parts; several are joined in a file that goes when the tensor does."""
    if places is not None and all(
        len(chosen) == len(part) for chosen, part in zip(places, parts, strict=True)
    ):
        places = None
    if len(parts) == 1:
        return parts[0] if places is None else parts[0][places[0]]
    rows = sum(map(len, parts if places is None else places))
    width = parts[0].shape[1]
    with temporary_folder() as folder:
        path = folder / "joined"
        path.touch()
        whole = torch.from_file(str(path), shared=True, size=rows * width).view(rows, width)
    first = 0
    for number, part in enumerate(parts):
        chosen = part if places is None else part[places[number]]
        whole[first : first + len(chosen)] = chosen
        first += len(chosen)
    return whole
