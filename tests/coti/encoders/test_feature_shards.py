"""Features in shards, and a cycle's scores from them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.feature_shards import (
    THINGS,
    embed_seeds,
    embed_shard,
    gather_shards,
    split_into_shards,
)
from coti.encoders.protocol import normalized
from coti.loop.fit_scorers import fit_concept_scorer
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import least_cosine
from coti.scores.features_to_scores import embed_images, rows_of, score_candidates
from coti.settings import ConceptScoreSettings, RunSettings

WIDTH = 12


class PixelEncoder:
    """An extractor for tests of what is done with features: a fixed random map of the pixels.

    It stands in for a network, since what is tested here is the same for any features.
    """

    size = WIDTH
    input_size = 4
    batch_size = 8

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._map = torch.randn(3 * 4 * 4, WIDTH, generator=generator)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, 4, 4] to float32 [n, 12]."""
        return (images.flatten(1).float() / 255 - 0.5) @ self._map

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """A row a text."""
        return torch.stack([torch.full((WIDTH,), float(len(text))) for text in texts])


def drawn(count: int, seed: int, name: str) -> ImageSet:
    """Random images with names."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return ImageSet([f"{name}{n}" for n in range(count)], pixels)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_shards_hold_every_id_once_in_order(size: int) -> None:
    """No shard is larger than asked for, and together they are the pool; no ids, one empty one."""
    ids = [str(n) for n in range(7)]
    shards = split_into_shards(ids, size)
    assert [name for shard in shards for name in shard] == ids
    assert all(0 < len(shard) <= size for shard in shards)
    assert split_into_shards([], size) == [[]]


@pytest.mark.parametrize("other", [None, PixelEncoder(5)])
@pytest.mark.parametrize("size", [4, 100])
def test_shards_together_are_the_pool_at_once(other: PixelEncoder | None, size: int) -> None:
    """Whatever the shards, the gathered bundle is that of one go; ``keep`` leaves rows out."""
    pool, seeds, encoder = drawn(10, 1, "p"), drawn(3, 2, "s"), PixelEncoder()
    names = () if other is not None else ("dog",)
    whole = embed_images(encoder, other, pool, seeds, names)
    shards = [
        embed_shard(encoder, other, ImageSet(ids, pool.images[[int(name[1:]) for name in ids]]))
        for ids in split_into_shards(pool.names, size)
    ]
    beside = embed_seeds(encoder, other, seeds, names)
    gathered = gather_shards(shards, beside)
    assert gathered.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert torch.allclose(gathered[name], tensor, atol=1e-6), name
    assert gathered.strings("pool_ids") == pool.names
    some = gather_shards(shards, beside, keep=["p8", "p1"])
    assert some.strings("pool_ids") == ["p1", "p8"]
    assert torch.allclose(some["pool"], whole["pool"][[1, 8]], atol=1e-6)


@pytest.mark.parametrize("other", [None, PixelEncoder(5)])
def test_words_are_embedded_beside_the_images(other: PixelEncoder | None) -> None:
    """The concept's, and those of look-alikes or of common things, on the scorer; none, none."""
    pool, seeds, encoder = drawn(3, 1, "p"), drawn(2, 2, "s"), PixelEncoder()
    with_names = embed_images(encoder, other, pool, seeds, ("dog", "wolf"), "fox")
    assert torch.equal(
        with_names["concept_text"], normalized(encoder.encode_texts(["a photo of a fox"]))
    )
    assert len(with_names["other_texts"]) == 2
    assert len(embed_images(encoder, other, pool, seeds, (), "fox")["other_texts"]) == len(THINGS)
    assert "concept_text" not in embed_images(encoder, other, pool, seeds, ("dog",)).tensors


def test_a_gathered_bundle_is_stored_and_mapped(tmp_path: object) -> None:
    """Ids and features survive the file, however many there are."""
    from pathlib import Path

    path = Path(str(tmp_path)) / "bundle.safetensors"
    features = embed_images(PixelEncoder(), None, drawn(9, 1, "ü"), drawn(2, 2, "s"), ())
    features.save(path)
    back = TensorBundle.load(path)
    assert back.strings("pool_ids") == features.strings("pool_ids")
    assert torch.equal(back["pool"], features["pool"])


@pytest.mark.parametrize("kind", ["min_cosine", "calibrated"])
@pytest.mark.parametrize("other", [None, PixelEncoder(5)])
def test_a_cycle_compares_the_pool_with_the_new_images_alone(
    kind: str, other: PixelEncoder | None
) -> None:
    """Scores from the last cycle's minimum are those from the whole X_T, over three cycles."""
    features = embed_images(PixelEncoder(), other, drawn(40, 1, "p"), drawn(5, 2, "s"), ())
    settings = RunSettings(concept_score=ConceptScoreSettings(kind=kind))  # type: ignore[arg-type]
    head = AestheticHead.fresh(WIDTH, seed=0, hidden=None)
    training_set = TrainingSet(tuple(features.strings("seed_ids")))
    least, joined = None, []
    for cycle in range(3):
        concept = fit_concept_scorer(LoopState(training_set), features, settings)
        columns = score_candidates(
            features, head, concept, 2.0, 3.0, 0.1, least=least, joined=joined
        )
        anew = score_candidates(features, head, concept, 2.0, 3.0, 0.1)
        for name in ("s_aes", "s_con", "s_int", "least_cosine"):
            assert torch.allclose(columns[name], anew[name], atol=1e-5)
        suffix = "" if other is None else "_concept"
        whole = least_cosine(features[f"pool{suffix}"], rows_of(features, training_set.ids, suffix))
        assert torch.allclose(columns["least_cosine"], whole, atol=1e-5)
        least = columns["least_cosine"]
        joined = [f"p{10 * cycle + n}" for n in range(4)]
        training_set = training_set.plus(joined, cycle)


def test_rows_by_id_are_the_pools_and_the_seeds() -> None:
    """Rows come in the order asked for, once for each time asked; no ids, no rows."""
    pool, seeds = drawn(6, 1, "p"), drawn(3, 2, "s")
    features = embed_images(PixelEncoder(), None, pool, seeds, ())
    found = rows_of(features, ["p3", "s1", "p3"])
    images = torch.stack([pool.images[3], seeds.images[1], pool.images[3]])
    assert torch.allclose(found, normalized(PixelEncoder().encode_images(images)), atol=1e-6)
    assert rows_of(features, []).shape == (0, WIDTH)
