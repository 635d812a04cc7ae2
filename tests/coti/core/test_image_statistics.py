"""Four numbers of an image that no network has a say in, and how they tell two sets apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.image_statistics import image_statistics
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import normalized
from coti.loop.facts import generation_facts
from coti.loop.training_set import TrainingSet
from coti.loop.verdict import verdict_of
from coti.metrics.likeness import told_apart_by


def noise(count: int, seed: int, side: int = 8) -> torch.Tensor:
    """Coloured images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).to(torch.uint8)


@given(st.integers(0, 1000), st.integers(0, 255))
def test_each_number_says_what_it_is_called(seed: int, level: int) -> None:
    """Flat grey has its level alone; grey has no colour; the same image bright is bright."""
    flat = torch.full((1, 3, 8, 8), level, dtype=torch.uint8)
    assert image_statistics(flat)[0].tolist() == pytest.approx([level / 255, 0, 0, 0], abs=1e-6)
    coloured = noise(2, seed)
    grey = coloured.float().mean(dim=1, keepdim=True).repeat(1, 3, 1, 1).to(torch.uint8)
    assert image_statistics(grey)[:, 2].abs().max() < 1e-6
    assert image_statistics(coloured)[:, 2].min() > 0.1
    both = image_statistics(torch.cat([coloured, coloured // 2 + 128]))
    assert (both[2:, 0] > both[:2, 0]).all()
    assert (both[2:, 1] < both[:2, 1]).all()
    assert (both[2:, 3] < both[:2, 3]).all()
    assert ((both >= 0) & (both <= 2)).all()


@given(st.integers(0, 1000))
def test_two_sets_are_told_apart_both_ways(seed: int) -> None:
    """0 of a set and itself, 1 where a number never overlaps; the order of the sets is none."""
    first, second = image_statistics(noise(5, seed)), image_statistics(noise(4, seed + 1) // 3)
    assert told_apart_by(first, first) == pytest.approx(0)
    assert told_apart_by(first, second) == pytest.approx(1)
    assert told_apart_by(second, first) == pytest.approx(told_apart_by(first, second))


def test_smudges_that_the_scorer_takes_for_the_concept_did_not_work() -> None:
    """A scorer that sees no difference says that all is well; what images look like does not."""
    features = normalized(torch.randn(12, 6, generator=torch.Generator().manual_seed(0)))
    pool, names = noise(12, 1), [f"id-{number}" for number in range(12)]
    bundle = (
        TensorBundle(
            {
                "pool": features,
                "pool_statistics": image_statistics(pool),
                "seeds": features[:2],
                "seeds_statistics": image_statistics(pool[:2]),
            }
        )
        .with_strings("pool_ids", names)
        .with_strings("seed_ids", ["seed-0", "seed-1"])
    )
    chosen = TrainingSet(("seed-0", "seed-1"), tuple(names[:8]), (1,) * 8)
    grey = pool.float().mean(dim=1, keepdim=True).repeat(1, 3, 1, 1).to(torch.uint8)
    for images, outcome in ((pool, "worked"), (grey, "failed")):
        facts = generation_facts(features, image_statistics(images), bundle, chosen)
        assert verdict_of({"looks_apart": facts["looks_apart"]}).outcome == outcome
