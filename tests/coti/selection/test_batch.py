"""Top-B selection, the gate, duplicate suppression and the other strategies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import normalized
from coti.selection import STRATEGIES, PoolView
from coti.selection.batch import select_batch
from coti.settings import RunSettings, SelectionSettings


def select(
    strategy: str,
    settings: SelectionSettings,
    candidates: torch.Tensor,
    *,
    seed: int,
    cycle: int = 1,
    features: torch.Tensor | None = None,
    **columns: torch.Tensor,
) -> torch.Tensor:
    """What a strategy picks, by these scores."""
    ones = torch.full((len(candidates),), 10.0)
    pool = PoolView(
        settings=RunSettings(strategy=strategy, selection=replace(settings, first=0.0)),
        features=TensorBundle({} if features is None else {"pool": features}),
        candidates=candidates,
        columns={"s_int": ones, "s_aes": ones, "s_con": ones, **columns},
        cycle=cycle,
    )
    chosen = STRATEGIES.get(strategy)(strategy)
    pool = replace(pool, columns={**pool.columns, "score": chosen.score(pool)})
    return chosen.pick(pool, seed)


rows = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=60)


@given(rows, st.integers(1, 20))
def test_best_candidates_in_order(pool: list[tuple[int, bool]], batch: int) -> None:
    """The picks are those of a full stable sort, ties in pool order, candidates only."""
    scores = torch.tensor([float(score) for score, _ in pool])
    candidates = torch.tensor([free for _, free in pool], dtype=torch.bool)
    ranked = sorted((-score, place) for place, (score, free) in enumerate(pool) if free)
    picked = select_batch(scores, candidates, batch)
    assert picked.tolist() == [place for _, place in ranked[:batch]]
    assert picked.dtype == torch.int64


@given(rows, st.integers(0, 2**31), st.integers(1, 20))
def test_random_takes_candidates_once(pool: list[tuple[int, bool]], seed: int, batch: int) -> None:
    """TI (RAND) takes B different candidates, the same for the same seed."""
    candidates = torch.tensor([free for _, free in pool], dtype=torch.bool)
    settings = SelectionSettings(batch=batch)
    picked = select("random", settings, candidates, seed=seed)
    assert len(set(picked.tolist())) == len(picked) == min(batch, int(candidates.sum()))
    assert candidates[picked].all()
    assert torch.equal(picked, select("random", settings, candidates, seed=seed))


def test_full_and_seeds() -> None:
    """TI (FULL) takes every candidate at once, TI on the seeds none."""
    candidates = torch.tensor([True, False, True])
    settings = SelectionSettings(batch=1)
    assert select("full", settings, candidates, seed=0).tolist() == [0, 2]
    assert select("seeds", settings, candidates, seed=0).tolist() == []


def test_gate_outranks_any_score() -> None:
    """An image below the concept gate is not picked, whatever its score; gate 0 is the paper."""
    s_int, s_con = torch.tensor([9.0, 5.0, 4.0]), torch.tensor([1.0, 6.0, 7.0])
    everything = torch.ones(3, dtype=torch.bool)
    gated = SelectionSettings(batch=3, concept_gate=5.0, spread=1.0)
    printed = SelectionSettings(batch=3, concept_gate=0.0, spread=1.0)
    assert select("coti", gated, everything, seed=0, s_int=s_int, s_con=s_con).tolist() == [1, 2]
    assert select("coti", printed, everything, seed=0, s_int=s_int).tolist() == [0, 1, 2]


def test_aesthetic_gate() -> None:
    """An image below the aesthetic gate is not picked either; a gate without scores is named."""
    s_int, s_aes = torch.tensor([9.0, 5.0]), torch.tensor([1.0, 6.0])
    everything = torch.ones(2, dtype=torch.bool)
    settings = SelectionSettings(batch=2, concept_gate=0.0, aesthetic_gate=5.0)
    assert select("coti", settings, everything, seed=0, s_int=s_int, s_aes=s_aes).tolist() == [1]


@pytest.mark.parametrize("name", ["s_aes", "s_con"])
def test_a_score_that_is_no_number_is_said(name: str) -> None:
    """A gate must not drop silently what it knows nothing of."""
    broken = torch.tensor([9.0, torch.nan])
    settings = SelectionSettings(batch=2, concept_gate=5.0, aesthetic_gate=5.0)
    everything = torch.ones(2, dtype=torch.bool)
    with pytest.raises(ConfigError, match=f"1 candidates have no number for {name}"):
        select("coti", settings, everything, seed=0, **{name: broken})
    free = torch.tensor([True, False])
    assert select("coti", settings, free, seed=0, **{name: broken}).tolist() == [0]


@given(st.integers(0, 1000), st.integers(1, 8), st.floats(1, 6))
def test_spread_draws_from_the_best(seed: int, batch: int, spread: float) -> None:
    """B different images of the best spread·B, best first, the same for the same seed."""
    scores = torch.rand(40, generator=torch.Generator().manual_seed(seed))
    everything = torch.ones(40, dtype=torch.bool)
    settings = SelectionSettings(batch=batch, concept_gate=0.0, spread=spread)
    picked = select("coti", settings, everything, seed=seed, s_int=scores)
    best = scores.argsort(descending=True)[: round(spread * batch)]
    assert len(picked) == len(set(picked.tolist())) == batch
    assert set(picked.tolist()) <= set(best.tolist())
    assert scores[picked].tolist() == sorted(scores[picked].tolist(), reverse=True)
    assert torch.equal(picked, select("coti", settings, everything, seed=seed, s_int=scores))


def test_duplicates_of_a_better_one_are_passed_over() -> None:
    """Of near-equal images in a batch the better one stays and the next in rank moves up."""
    features = normalized(torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.7, 0.7]]))
    scores, everything = torch.tensor([9.0, 8.0, 7.0, 6.0]), torch.ones(4, dtype=torch.bool)
    picked = select_batch(scores, everything, 3, features=features, suppress_duplicates=0.95)
    assert picked.tolist() == [0, 2, 3]


@given(st.integers(0, 1000), st.integers(1, 12), st.floats(0.2, 1.0))
def test_suppression_keeps_images_apart(seed: int, batch: int, threshold: float) -> None:
    """No two images of a batch are nearer than the threshold; none is left out for nothing."""
    generator = torch.Generator().manual_seed(seed)
    features = normalized(torch.randn(40, 3, generator=generator))
    scores = torch.rand(40, generator=generator)
    everything = torch.ones(40, dtype=torch.bool)
    picked = select_batch(
        scores, everything, batch, features=features, suppress_duplicates=threshold
    )
    cosines = features[picked] @ features[picked].T
    assert (cosines - torch.eye(len(picked)) <= threshold + 1e-5).all()
    if len(picked) < batch:
        assert ((features @ features[picked].T).amax(dim=1) > threshold - 1e-5).all()


@given(st.integers(0, 1000), st.integers(1, 12), st.floats(0.2, 1.0))
def test_with_spread_twins_are_suppressed_in_the_batch_alone(
    seed: int, batch: int, threshold: float
) -> None:
    """The batch comes from the best spread·B, no two of it are too near, and of these no image
    is left out that would be far enough from all of an unfilled batch."""
    generator = torch.Generator().manual_seed(seed)
    features = normalized(torch.randn(60, 3, generator=generator))
    scores = torch.rand(60, generator=generator)
    everything = torch.ones(60, dtype=torch.bool)
    settings = SelectionSettings(
        batch=batch, spread=3.0, concept_gate=0.0, suppress_duplicates=threshold
    )
    picked = select("coti", settings, everything, seed=seed, s_int=scores, features=features)
    best = select_batch(scores, everything, 3 * batch)
    assert set(picked.tolist()) <= set(best.tolist())
    assert scores[picked].tolist() == sorted(scores[picked].tolist(), reverse=True)
    cosines = features[picked] @ features[picked].T
    assert (cosines - torch.eye(len(picked)) <= threshold + 1e-5).all()
    if len(picked) < batch:
        assert ((features[best] @ features[picked].T).amax(dim=1) > threshold - 1e-5).all()


def test_refuses_scores_that_are_no_numbers() -> None:
    """How many is said."""
    with pytest.raises(ConfigError, match="got 1 NaN"):
        select_batch(torch.tensor([torch.nan]), torch.ones(1, dtype=torch.bool), 1)
