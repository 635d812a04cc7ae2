"""What a user would do instead of COTI, and the self-trained order: at once or by cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import normalized
from coti.selection import STRATEGIES, PoolView
from coti.selection.outcomes import held_back
from coti.settings import RunSettings, SelectionSettings

NAMES = ("text_top", "filtered", "nearest_to_seeds", "self_trained")
WIDTH = 16


def cloud(count: int, place: int, seed: int, *, wide: float = 0.15) -> torch.Tensor:
    """Features around one axis of the space: L2-normalised [count, 16]."""
    noise = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    return normalized(wide * noise + torch.eye(WIDTH)[place])


def made_pool(right: int, wrong: int, seed: int, name: str = "self_trained") -> PoolView:
    """The concept lies around axis 0, as its name and the seeds do, other things around axis 1."""
    features = torch.cat([cloud(right, 0, seed), cloud(wrong, 1, seed + 1)])
    count = right + wrong
    bundle = TensorBundle(
        {
            "pool": features,
            "seeds": cloud(3, 0, seed + 2),
            "concept_text": cloud(1, 0, seed + 3),
            "other_texts": cloud(2, 1, seed + 4),
        }
    )
    return PoolView(
        settings=RunSettings(
            strategy=name,
            growth="at_once",
            baseline_images=20,
            selection=SelectionSettings(batch=5),
        ),
        features=bundle,
        candidates=torch.ones(count, dtype=torch.bool),
        columns={score: torch.full((count,), 8.0) for score in ("s_aes", "s_con", "s_int")},
        cycle=0,
    )


def picked(pool: PoolView, seed: int = 0) -> torch.Tensor:
    """What the settings' strategy picks: of what passes its gates, all where that is few."""
    strategy = STRATEGIES.get(pool.settings.strategy)(pool.settings.strategy)
    score = strategy.score(pool)
    assert score.dtype == torch.float32
    pool = replace(pool, columns={**pool.columns, "score": score})
    found = strategy.pick(pool, seed)
    said = held_back(strategy.gates(pool), len(score))
    passed = torch.tensor([not why for why in said], dtype=torch.bool) & pool.candidates
    assert passed[found].all()
    assert len(found) == min(pool.wanted, int(passed.sum()))
    return found


def test_what_holds_an_image_back_is_said() -> None:
    """Another thing, looks, or neither: what passes and is not picked was not drawn."""
    pool = made_pool(40, 60, 5, "self_trained")
    looks = torch.full((100,), 8.0)
    looks[:20] = 2.0
    gates = replace(pool.settings.selection, aesthetic_gate=4.0)
    run = replace(pool.settings, selection=gates, baseline_images=10)
    score = (torch.arange(100) < 40).float() - 0.5
    columns = {**pool.columns, "s_aes": looks, "score": score}
    pool = replace(pool, settings=run, columns=columns)
    strategy = STRATEGIES.get("self_trained")("self_trained")
    said = held_back(strategy.gates(pool), 100)
    assert said == ["S_aes below 4"] * 20 + [""] * 20 + ["rather something else"] * 60
    assert len(strategy.pick(pool, 0)) == 10


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(
    right=st.integers(0, 40),
    wrong=st.integers(0, 40),
    seed=st.integers(0, 1000),
    growth=st.sampled_from(["at_once", "cycles"]),
    cycle=st.integers(0, 2),
)
def test_candidates_only_each_once_and_again_the_same(
    name: str, right: int, wrong: int, seed: int, growth: Literal["at_once", "cycles"], cycle: int
) -> None:
    """No more than wanted: ``baseline_images`` at once, of 5·B half in cycle 0, the rest in equal
    parts; any pool, the empty one, too."""
    pool = made_pool(right, wrong, seed, name)
    free = torch.rand(right + wrong, generator=torch.Generator().manual_seed(seed)) < 0.7
    run = replace(pool.settings, growth=growth)
    generated = cloud(8, 0, 9) if cycle else None
    pool = replace(pool, settings=run, candidates=free, generated=generated, cycle=cycle)
    most = 20 if growth == "at_once" else 3 if cycle else 12
    found = picked(pool, seed)
    assert found.dtype == torch.int64
    assert len(set(found.tolist())) == len(found) <= most
    assert free[found].all()
    assert torch.equal(found, picked(pool, seed))


@pytest.mark.parametrize("name", NAMES)
def test_the_concepts_images_are_found_where_they_lie_apart(name: str) -> None:
    """Of a pool of which a tenth shows the concept, all that are picked do."""
    found = picked(made_pool(40, 360, 5, name))
    assert len(found) == 20
    assert (found < 40).all()


@pytest.mark.parametrize("name", ["text_top", "filtered", "self_trained"])
def test_features_without_words_are_refused(name: str) -> None:
    """What to set is said."""
    pool = made_pool(10, 10, 0, name)
    tensors = dict(pool.features.tensors)
    for text in ("concept_text", "other_texts"):
        del tensors[text]
    with pytest.raises(ConfigError, match=f"strategy {name} asks .* set `concept` or `selection"):
        picked(replace(pool, features=TensorBundle(tensors)))


@pytest.mark.parametrize(("name", "gate"), [("filtered", 0.0), ("self_trained", 5.0)])
def test_what_looks_bad_is_left_out(name: str, gate: float) -> None:
    """By a threshold of its own, or by ``aesthetic_gate``; fewer are taken then."""
    pool = made_pool(30, 30, 3, name)
    s_aes = torch.full((60,), 8.0)
    s_aes[5:] = 4.0
    pool = replace(pool, columns={**pool.columns, "s_aes": s_aes})
    found = {
        asked: len(picked(replace(pool, settings=replace(pool.settings, selection=rules))))
        for asked in (gate, 3.0)
        for rules in (SelectionSettings(aesthetic_gate=asked),)
    }
    assert found[3.0] > found[gate] == 5


@pytest.mark.parametrize("name", NAMES)
def test_broken_features_are_said(name: str) -> None:
    """One image without a number is no silent loss of all."""
    pool = made_pool(10, 10, 0, name)
    pool.features["pool"][3] = torch.nan
    pool.columns["s_aes"][3] = torch.nan  # the head's, of such features
    if name == "filtered":  # what is no number passes for nothing, and takes nothing else along
        assert 3 not in picked(pool).tolist()
        return
    with pytest.raises(ConfigError, match=r"NaN|no number"):
        picked(pool)


def test_words_that_agree_with_no_seed_have_no_say() -> None:
    """A text tower that takes the name for something else spoils nothing."""
    pool = made_pool(40, 160, 5)
    misled = {**pool.features.tensors, "concept_text": cloud(1, 1, 8)}
    found = picked(replace(pool, features=TensorBundle(misled)))
    assert len(found) == 20
    assert (found < 40).all()


def test_generations_are_complemented() -> None:
    """Of two looks of one concept, the one that is generated already is drawn the less."""
    pool = made_pool(200, 100, 1)
    pool.features["pool"][:100] = normalized(pool.features["pool"][:100] + 0.6 * cloud(100, 2, 6))
    pool = replace(pool, settings=replace(pool.settings, baseline_images=60))
    without = int((picked(pool) < 100).sum())
    generated = normalized(cloud(64, 0, 11) + 0.6 * cloud(64, 2, 12))  # the first hundred's look
    assert int((picked(replace(pool, generated=generated)) < 100).sum()) < 0.8 * without
