"""How far generations are from X_T."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import MetricError
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import normalized
from coti.metrics.training_distance import distance_to_training

WIDTH = 16


def kinds(count: int, spread: float, seed: int, kind: int = 0) -> torch.Tensor:
    """Features about one direction of the space, L2-normalised: [count, WIDTH]."""
    centre = torch.zeros(WIDTH)
    centre[kind] = 1.0
    generator = torch.Generator().manual_seed(seed)
    return normalized(centre + spread * torch.randn(count, WIDTH, generator=generator))


def pool_of(features: torch.Tensor) -> tuple[TensorBundle, list[str]]:
    """A run's features, whose pool is these, and their ids."""
    ids = [f"p{row}" for row in range(len(features))]
    bundle = TensorBundle({"pool": features, "seeds": kinds(3, 0.1, 99)})
    named = bundle.with_strings("pool_ids", ids).with_strings("seed_ids", ["s0", "s1", "s2"])
    return named, ids


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 20), st.integers(2, 20))
def test_it_is_the_unbiased_mmd_of_cosines(seed: int, count: int, trained: int) -> None:
    """Against the sum of Bińkowski et al. 2018, Eq. 4, written out."""
    generated, (features, ids) = kinds(count, 0.5, seed), pool_of(kinds(trained, 0.5, seed + 1))

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a.double() @ b.double()) + 1) ** 3

    xs, ys = list(generated), list(features["pool"])
    within = [
        sum(k(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j)
        / (len(rows) * (len(rows) - 1))
        for rows in (xs, ys)
    ]
    across = sum(k(a, b) for a in xs for b in ys) / (count * trained)
    found = distance_to_training(generated, features, ids)
    assert found == pytest.approx(sum(within) - 2 * across, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_generations_of_few_kinds_or_of_another_are_farther(seed: int) -> None:
    """As varied as X_T: nearest. Narrower, which any mean of scores prefers: farther. Another
    thing: farther."""
    features, ids = pool_of(kinds(200, 0.4, seed))
    varied = distance_to_training(kinds(200, 0.4, seed + 1), features, ids)
    narrow = distance_to_training(kinds(200, 0.1, seed + 1), features, ids)
    other = distance_to_training(kinds(200, 0.4, seed + 1, kind=1), features, ids)
    assert varied < min(narrow, other)
    assert abs(varied) < 0.05


def test_only_the_images_of_x_t_count() -> None:
    """Seeds and pool by id; the rest of the pool changes nothing."""
    generated, near, far = kinds(50, 0.3, 0), kinds(50, 0.3, 1), kinds(50, 0.3, 2, kind=3)
    features, ids = pool_of(torch.cat([near, far]))
    alone = distance_to_training(generated, features, ids[:50])
    assert alone == distance_to_training(generated, pool_of(near)[0], ids[:50])
    assert distance_to_training(generated, features, ["s0", *ids[:50]]) != alone
    with pytest.raises(MetricError, match="n ≥ 2"):
        distance_to_training(generated, features, ["s0"])
