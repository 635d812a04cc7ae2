"""What people decided holds, whatever the strategy."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.loop.fit_scorers import finetune_aesthetic_scorer, fit_concept_scorer
from coti.loop.inputs import Encoders
from coti.loop.learn import selected_at_once
from coti.loop.reviewed import (
    HELD_BACK,
    Reviewed,
    gates_of,
    marked,
    reviewed_images,
    used_seeds,
)
from coti.loop.score_pool import score_pool
from coti.loop.select_batch import select_batch
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.metrics.ground_truth import read_ground_truth
from coti.pool.chosen_images import read_chosen_images
from coti.pool.concept_data import Seeds, accepted_pool, with_seeds
from coti.scores.features_to_scores import embed_images
from coti.selection import STRATEGIES, PoolView
from coti.selection.decisions import Review, ReviewWriter
from coti.selection.outcomes import held_back
from coti.settings import AestheticSettings, PoolSettings, RunSettings, SelectionSettings
from tests.coti.selection.test_one_pass import made_pool

BOOTS = Path("assets/pools/ankle_boot")
NAMES = ("coti", "random", "full", "oracle", "self_trained", "text_top", "filtered",
         "nearest_to_seeds")  # fmt: skip


def with_scores(name: str, seed: int, growth: str, cycle: int) -> PoolView:
    """A pool of 30 right images and 30 others as the strategy sees it, named by number."""
    pool = made_pool(30, 30, seed, name)
    tensors = TensorBundle(pool.features.tensors)
    tensors = tensors.with_strings("pool_ids", [str(place) for place in range(60)])
    strategy = STRATEGIES.get(name)(name)
    way = growth if growth in strategy.growths else strategy.growths[0]
    run = replace(pool.settings, growth=way)
    sources = [str(place) for place in range(60)]
    pool = replace(pool, settings=run, features=tensors, cycle=cycle, sources=sources)
    return replace(pool, columns={**pool.columns, "score": strategy.score(pool)})


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 100),
    growth=st.sampled_from(["at_once", "cycles"]),
    cycle=st.integers(0, 2),
    said=st.dictionaries(st.integers(0, 59), st.sampled_from(["keep", "drop"]), max_size=40),
)
def test_dropped_images_never_join_and_kept_ones_first(
    name: str, seed: int, growth: str, cycle: int, said: dict[int, str]
) -> None:
    """Kept ones are within the budget, the best of them where they are more; what else joins is
    a candidate of the strategy's, none twice, and no more than without a review."""
    pool = with_scores(name, seed, growth, cycle)
    kept, dropped = (
        frozenset(str(place) for place, word in said.items() if word == which)
        for which in ("keep", "drop")
    )
    view = marked(pool, Reviewed(kept=kept, dropped=dropped))
    truth = {str(place): True for place in range(60)}
    asked = 20 if name == "oracle" or pool.settings.growth == "at_once" else pool.wanted
    if name in ("random", "oracle") and 60 - len(dropped) < asked:
        return  # said by a sentence of its own
    joined = select_batch(LoopState(TrainingSet(()), cycle), view, truth).selected
    assert not dropped & set(joined)
    assert len(set(joined)) == len(joined)
    first = joined[: min(len(kept), pool.wanted)]
    score = pool.columns["score"]
    best = sorted(kept, key=lambda each: -float(score[int(each)]))
    assert sorted(float(score[int(each)]) for each in first) == sorted(
        float(score[int(each)]) for each in best[: pool.wanted]
    )
    assert set(first) <= kept
    if name == "full":
        assert len(joined) == 60 - len(dropped)
    else:
        assert len(joined) <= pool.wanted
    reasons = held_back(gates_of(STRATEGIES.get(name)(name), view), 60)
    assert {str(place) for place, why in enumerate(reasons) if why == HELD_BACK} == dropped
    after = [str(place) for place, why in enumerate(reasons) if not why]
    assert set(joined) <= kept | set(after)


def test_without_a_review_nothing_is_another() -> None:
    """Neither picks nor reasons; an empty one is none."""
    for name in NAMES:
        pool = with_scores(name, 3, "at_once", 0)
        truth = {str(place): True for place in range(60)}
        strategy = STRATEGIES.get(name)(name)
        plain, marks = (
            select_batch(LoopState(TrainingSet(())), each, truth)
            for each in (pool, marked(pool, Reviewed()))
        )
        assert plain == marks
        assert held_back(strategy.gates(pool), 60) == held_back(
            gates_of(strategy, marked(pool, Reviewed())), 60
        )


def test_images_are_known_by_their_content() -> None:
    """Copies by the same word; what is in no pool does not count, and a review of another pool is
    one sentence with both names."""
    said = Review({64 * "a": "drop", 64 * "f": "keep"}, {64 * "b": 3.0}, {64 * "a": "a boot"})
    ids, seeds = [20 * "a", 20 * "a" + "-2", 20 * "c"], [20 * "b", 20 * "d"]
    found = reviewed_images(said, ids, seeds, "crawl", "chicks")
    assert found.dropped == {ids[0], ids[1]}
    assert (found.kept, dict(found.ratings)) == (frozenset(), {seeds[0]: 3.0})
    assert found.captions == dict.fromkeys(ids[:2], "a boot")
    with pytest.raises(ConfigError, match=r"review: chicks names no image .* pool crawl: give"):
        reviewed_images(said, ids[2:], seeds, "crawl", "chicks")


def test_a_dropped_seed_is_not_used() -> None:
    """Unless too few would be left."""
    seeds = [letter * 20 for letter in "abc"]
    review = Review({64 * "b": "drop", 64 * "c": "keep"})
    assert used_seeds(review, seeds) == [0, 2]
    assert used_seeds(None, seeds) == [0, 1, 2]
    with pytest.raises(ConfigError, match="drops 1 of the 2 seeds, and at least 2 are needed"):
        used_seeds(review, seeds[:2])


ENCODERS = Encoders(load_image_text_encoder("assets/models/scorer"))
RUN = RunSettings(
    concept="ankle boot",
    growth="at_once",
    strategy="text_top",
    baseline_images=150,
    aesthetic=AestheticSettings(steps=20),
    selection=SelectionSettings(concept_gate=0.0, text="shoe"),
)


@pytest.fixture(scope="module")
def seeds() -> Seeds:
    """The bundled ones."""
    ids, names, images = read_chosen_images(BOOTS / "seeds", 32, RUN.images.rule)
    return Seeds(ImageSet(ids, images), dict(zip(ids, names, strict=True)))


def decide(folder: Path, said: dict[str, tuple[str, str]]) -> str:
    """A review of ``said``, sha256 to what and value; its folder."""
    writer = ReviewWriter(folder / "review", "ann")
    for image, (what, value) in said.items():
        writer.decide(image, what, value)
    return str(folder)


def reviewing(run: RunSettings, path: str) -> RunSettings:
    """The settings with a review."""
    return replace(run, selection=replace(run.selection, review=path))


@pytest.mark.slow
def test_vetoing_look_alikes_raises_the_share_of_right_images(tmp_path: Path, seeds: Seeds) -> None:
    """Of the bundled pool, in which sneakers and sandals are planted among the boots, what is
    nearest to the word "shoe": a person who drops the wrong ones of the first choice has many more
    right ones in the second."""
    pool = accepted_pool(str(BOOTS / "pool"), ENCODERS, PoolSettings(), 32, RUN.images.rule)
    clean = read_ground_truth(BOOTS / "ground_truth.csv", "ankle boot")

    def chosen(run: RunSettings) -> tuple[list[str], float]:
        data = with_seeds(pool, seeds, ENCODERS, run)
        state, _ = selected_at_once(ENCODERS, data, run)
        names = [pool.sources[each] for each in state.training_set.selected]
        return names, sum(clean[name] for name in names) / len(names)

    before, share = chosen(RUN)
    wrong = [name for name in before if not clean[name]]
    assert wrong
    hashes = {
        name: hashlib.sha256((BOOTS / "pool" / name).read_bytes()).hexdigest() for name in wrong
    }
    path = decide(tmp_path, dict.fromkeys(hashes.values(), ("drop", "")))
    after, second = chosen(reviewing(RUN, path))
    assert not set(after) & set(wrong)
    assert len(after) == len(before)
    assert second > share + 0.2  # 0.63 and 0.89


def test_a_rating_of_the_review_wins(tmp_path: Path, seeds: Seeds) -> None:
    """Over a seed's 10, over the user's table and over a selected image's: the head that is
    fine-tuned thinks less of what was rated 0, and the same of what the table rates so."""
    pool = ImageSet(["a" * 20, "b" * 20], seeds.images.images[:2].flip(3))
    names = [*seeds.images.names, *pool.names]
    sources = {name: f"{name}.png" for name in names}
    table = tmp_path / "ratings.csv"
    table.write_text(f"file_name,rating\n{sources['a' * 20]},10\n", encoding="utf-8")
    run = replace(RUN, aesthetic=replace(RUN.aesthetic, user_ratings=str(table), steps=60))
    features = embed_images(ENCODERS.scorer, None, pool, seeds.images, (), "ankle boot")
    chosen = TrainingSet(tuple(seeds.images.names), ("a" * 20,), (0,))

    def score(reviewed: Reviewed | None) -> torch.Tensor:
        head = finetune_aesthetic_scorer(
            LoopState(chosen, 1), features, sources, seeds.images, ENCODERS, run, reviewed
        )
        return torch.cat([head.score(features["pool"][:1]), head.score(features["seeds"][:1])])

    low = score(Reviewed(ratings={"a" * 20: 0.0, seeds.images.names[0]: 0.0}))
    assert (low < score(None) - 0.5).all()
    assert torch.equal(score(Reviewed()), score(None))


def test_captions_and_seeds_are_the_reviews(tmp_path: Path, seeds: Seeds) -> None:
    """What a run works on has them in place; dropped images are no candidates."""
    pool = accepted_pool(str(BOOTS / "seeds"), ENCODERS, PoolSettings(), 32, RUN.images.rule)
    paths = sorted((BOOTS / "seeds").iterdir())
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    first, second = list(hashes)[:2]
    path = decide(tmp_path, {hashes[first]: ("drop", ""), hashes[second]: ("caption", "a boot")})
    data = with_seeds(pool, seeds, ENCODERS, reviewing(RUN, path))
    assert len(data.seeds.names) == len(seeds.images.names) - 1
    assert [data.captions[each] for each in data.captions if data.sources[each] == second] == [
        "a boot"
    ]
    state = LoopState(TrainingSet(tuple(data.seeds.names)))
    head = finetune_aesthetic_scorer(
        state, data.features, data.sources, data.seeds, ENCODERS, RUN, data.reviewed
    )
    state = state.with_head(head).with_concept(fit_concept_scorer(state, data.features, RUN))
    view = score_pool(state, data.features, RUN, reviewed=data.reviewed)
    assert not view.candidates.any()
