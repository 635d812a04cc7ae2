"""S_con: Eq. 8 as printed, its calibrated relatives, and the classifier."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.encoders.protocol import normalized
from coti.scores.concept_score import (
    ConceptScorer,
    fit_concept_scorer,
    least_cosine,
    update_least_cosine,
)
from coti.settings import ConceptScoreSettings

Kind = Literal["min_cosine", "calibrated", "knn", "classifier"]
CALIBRATED: tuple[Kind, ...] = ("calibrated", "knn", "classifier")
WIDTH = 24
CENTRES = normalized(torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(7)) + 0.6)


def things(kind: int, count: int, seed: int) -> torch.Tensor:
    """Features of images of one kind of thing; kinds overlap a little."""
    noise = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(100 * kind + seed))
    return normalized(CENTRES[kind] + 0.1 * noise)


def world(positive: int, others: int = 100) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ten seeds, a pool, and which of the pool show the concept."""
    pool = torch.cat([things(0, positive, 1), *(things(kind, others, 1) for kind in (1, 2, 3))])
    return things(0, 10, 0), pool, torch.arange(len(pool)) < positive


def test_eq_8_as_printed() -> None:
    """``min_cosine`` is ``10·max(0, least cosine to X_T)`` and nothing else."""
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    scorer = fit_concept_scorer(ConceptScoreSettings(kind="min_cosine"), train, train, train)
    images = normalized(torch.tensor([[1.0, 1.0], [3.0, 4.0], [1.0, 0.0], [-1.0, 0.2]]))
    expected = torch.tensor([10 * 0.5**0.5, 6.0, 0.0, 0.0])
    assert torch.allclose(scorer.score(images), expected, atol=1e-5)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 50))
def test_incremental_minimum_equals_the_whole(batches: list[int], seed: int) -> None:
    """Kept over cycles, batch by batch, Eq. 8's minimum is that of the whole X_T."""
    generator = torch.Generator().manual_seed(seed)
    pool = normalized(torch.randn(30, 5, generator=generator))
    parts = [normalized(torch.randn(size, 5, generator=generator)) for size in [1, *batches]]
    least = torch.full((30,), torch.inf)
    for part in parts:
        least = update_least_cosine(least, part, pool)
    assert torch.allclose(least, least_cosine(pool, torch.cat(parts)), atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 50))
def test_minimum_only_falls(seed: int) -> None:
    """A growing X_T never raises Eq. 8's score."""
    generator = torch.Generator().manual_seed(seed)
    seeds, more, pool = (normalized(torch.randn(8, 5, generator=generator)) for _ in range(3))
    printed = ConceptScoreSettings(kind="min_cosine")
    before = fit_concept_scorer(printed, seeds, seeds, pool).score(pool)
    after = fit_concept_scorer(printed, torch.cat([seeds, more]), seeds, pool).score(pool)
    assert (after <= before + 1e-6).all()


@pytest.mark.parametrize("kind", CALIBRATED)
@pytest.mark.parametrize("positive", [900, 300, 30])
def test_gate_separates_whatever_the_pool_holds(kind: Kind, positive: int) -> None:
    """Be 75, 50 or 9 % of the pool the concept: 5 parts it from other things, unlabelled."""
    seeds, pool, shows = world(positive)
    scores = fit_concept_scorer(ConceptScoreSettings(kind=kind), seeds, seeds, pool).score(pool)
    passed = scores >= 5
    assert (scores[shows] >= 5).double().mean() > 0.7
    assert shows[passed].double().mean() > 0.95
    assert scores[~shows].mean() < 1


@pytest.mark.parametrize("kind", CALIBRATED)
def test_held_out_images_of_the_concept_score_like_seeds(kind: Kind) -> None:
    """New images of the concept come out around 8, with room above: γ_con does not saturate."""
    seeds, pool, _ = world(300)
    scorer = fit_concept_scorer(ConceptScoreSettings(kind=kind), seeds, seeds, pool)
    new = scorer.score(things(0, 500, 9))
    assert 6 < new.mean() < 9
    assert new.unique().numel() == 500


@pytest.mark.parametrize("kind", CALIBRATED)
def test_stays_calibrated_as_x_t_grows(kind: Kind) -> None:
    """With two hundred selected images beside the seeds the gate still means the same."""
    seeds, pool, shows = world(300)
    train = torch.cat([seeds, pool[:200]])
    scores = fit_concept_scorer(ConceptScoreSettings(kind=kind), train, seeds, pool).score(pool)
    rest = torch.arange(len(pool)) >= 200
    assert (scores[shows & rest] >= 5).double().mean() > 0.6
    assert shows[(scores >= 5) & rest].double().mean() > 0.9


@pytest.mark.parametrize("kind", ["min_cosine", *CALIBRATED])
def test_round_trip_and_determinism(kind: Kind) -> None:
    """Stored as tensors and read back it scores the same; so does a second fit, bit for bit."""
    seeds, pool, _ = world(50)
    settings = ConceptScoreSettings(kind=kind)
    scorer = fit_concept_scorer(settings, seeds, seeds, pool, seed=3)
    again = fit_concept_scorer(settings, seeds, seeds, pool, seed=3)
    copy = ConceptScorer.from_tensors(scorer.to_tensors())
    assert torch.equal(scorer.score(pool), copy.score(pool))
    assert torch.equal(scorer.score(pool), again.score(pool))
    assert scorer.score(pool).aminmax().max <= 10
    assert scorer.score(pool).aminmax().min >= 0


def test_least_cosines_score_as_features_do() -> None:
    """Scores from cosines kept over cycles are those from features."""
    seeds, pool, _ = world(50)
    for kind in ("min_cosine", "calibrated"):
        scorer = fit_concept_scorer(ConceptScoreSettings(kind=kind), seeds, seeds, pool)
        least = least_cosine(pool, seeds)
        assert torch.allclose(scorer.score_least(least), scorer.score(pool), atol=1e-4)


def test_names_of_other_things_sharpen_the_classifier() -> None:
    """Text features of distractors push images of these down, however alike they look."""
    twin = normalized(CENTRES[0] + 0.35 * CENTRES[1])
    noise = torch.randn(150, WIDTH, generator=torch.Generator().manual_seed(5))
    alike = normalized(twin + 0.06 * noise)
    pool = torch.cat([things(0, 300, 1), alike, things(2, 150, 1)])
    seeds, settings = things(0, 10, 0), ConceptScoreSettings(kind="classifier")
    # Texts lie elsewhere than images do, and nearer to what they name.
    names = normalized(torch.stack([CENTRES[1], CENTRES[2]]) - 0.8 * CENTRES.mean(dim=0))
    without = fit_concept_scorer(settings, seeds, seeds, pool).score(pool)
    told = fit_concept_scorer(settings, seeds, seeds, pool, names).score(pool)
    assert told[300:450].mean() < without[300:450].mean()
    assert (told[:300] >= 5).double().mean() > 0.7


@pytest.mark.parametrize("kind", CALIBRATED)
@pytest.mark.parametrize("count", [2, 3])
def test_two_seeds_are_enough_to_run(kind: Kind, count: int) -> None:
    """With two or three seeds scores are finite, on the scale, and the concept ranks first."""
    seeds, pool, shows = world(100)
    seeds = seeds[:count]
    scores = fit_concept_scorer(ConceptScoreSettings(kind=kind), seeds, seeds, pool).score(pool)
    assert torch.isfinite(scores).all()
    assert scores[shows].mean() > scores[~shows].mean() + 2


@pytest.mark.parametrize("kind", CALIBRATED)
def test_a_pool_of_nothing_but_the_concept(kind: Kind) -> None:
    """Where all of the pool is the concept, or there is no pool, scores are still on the scale."""
    seeds = things(0, 10, 0)
    settings = ConceptScoreSettings(kind=kind)
    for pool in (things(0, 200, 1), seeds[:0], seeds):
        scores = fit_concept_scorer(settings, seeds, seeds, pool).score(things(0, 50, 2))
        assert torch.isfinite(scores).all()
        assert scores.aminmax().min >= 0


@pytest.mark.parametrize("kind", ["min_cosine", *CALIBRATED])
def test_refuses_one_seed(kind: Kind) -> None:
    """Before anything is trained: with one seed nothing is compared with X_T, whatever the kind."""
    seeds, pool, _ = world(50)
    with pytest.raises(ConfigError, match=r"seeds: at least 2 are needed.* got 1"):
        fit_concept_scorer(ConceptScoreSettings(kind=kind), seeds[:1], seeds[:1], pool)
