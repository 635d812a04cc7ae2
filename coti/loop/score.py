"""Stations 1 to 3 of a cycle: fit both scorers, score the pool, select."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.loop.inputs import Encoders, Images
from coti.loop.plan import strategy_of
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.scores import concept_score
from coti.scores.aesthetic import (
    AestheticHead,
    Ratings,
    degraded_ratings,
    finetune_aesthetic_head,
    load_aesthetic_head,
    load_ratings,
    load_user_ratings,
    rate_selected,
)
from coti.scores.concept_score import ConceptScorer
from coti.scores.formulas import TOP
from coti.scores.scoring import concept_suffix, rows_of, score_candidates
from coti.selection import PoolView
from coti.settings import RunSettings

__all__ = ["finetune_aesthetic_scorer", "fit_concept_scorer", "score_pool", "select_batch"]


def finetune_aesthetic_scorer(
    state: LoopState,  # X_T before this cycle selects
    features: TensorBundle,  # of coti.scores.scoring.embed_images
    sources: Mapping[str, str],  # id to file name of pool and seeds, for the user's ratings
    seeds: ImageSet,  # rated 10
    encoders: Encoders,  # the scorer, for degraded seeds
    settings: RunSettings,  # its files found
) -> AestheticHead:
    """θ of a cycle (Eq. 7): the start head fine-tuned on all ratings there are by now."""
    rules, seed = settings.aesthetic, derived_seed(settings.seed, "aesthetic", state.cycle)
    if rules.head is None:
        head = AestheticHead.fresh(features["pool"].shape[1], derived_seed(seed, "fresh head"))
    else:
        head = load_aesthetic_head(rules.head)
    sets = [Ratings(features["seeds"], torch.full((len(seeds),), TOP))]
    if rules.ratings is not None:
        sets.append(load_ratings(rules.ratings))
    if rules.user_ratings is not None:
        by_name: dict[str, torch.Tensor] = {}
        # The pool wins where both have a file of that name.
        for ids, rows in (("seed_ids", "seeds"), ("pool_ids", "pool")):
            named = zip(features.strings(ids), features[rows], strict=True)
            by_name.update({sources[name]: row for name, row in named if name in sources})
        sets.append(load_user_ratings(rules.user_ratings, by_name))
    if rules.degrade_seeds:
        degraded = degraded_ratings(seeds.images, encoders.scorer, derived_seed(seed, "degrade"))
        sets.append(degraded)
    seed_ids = set(features.strings("seed_ids"))
    since = state.training_set.since()
    chosen = {name: when for name, when in since.items() if name not in seed_ids}
    if chosen:
        ratings = [rate_selected(when, state.cycle, rules) for when in chosen.values()]
        sets.append(Ratings(rows_of(features, list(chosen)), torch.tensor(ratings)))
    return finetune_aesthetic_head(head, sets, rules, seed)


def fit_concept_scorer(
    state: LoopState, features: TensorBundle, settings: RunSettings
) -> ConceptScorer:
    """S_con (Eq. 8) against X_T, once for each X_T there is; the same for the same X_T."""
    kind = concept_suffix(features)
    return concept_score.fit_concept_scorer(
        settings.concept_score,
        rows_of(features, state.training_set.ids, kind),
        features[f"seeds{kind}"],
        features[f"pool{kind}"],
        features.tensors.get("distractors"),
        derived_seed(settings.seed, "concept"),
    )


def score_pool(
    state: LoopState,
    features: TensorBundle,  # of coti.scores.scoring.embed_images
    settings: RunSettings,  # of coti.loop.plan.effective
    *,
    sources: Mapping[str, str] | None = None,  # id to file name
    # For strategies that look at images:
    images: Images | None = None,  # the pool's
    seeds: ImageSet | None = None,
    efficientnet: Callable[[], EfficientNetLite0] | None = None,  # loads the reference judge
) -> PoolView:
    """S_aes, S_con, S_int (Eq. 7, 8, 11) and the strategy's own score of every pool image.

    With the columns of the cycle before, of Eq. 8 only what joined X_T since is new, and a score
    that stays is not computed again.
    """
    selection, previous = settings.selection, state.columns
    least = None if previous is None else previous.get("least_cosine")
    since = state.training_set.since()
    columns = score_candidates(
        features,
        *state.scorers,
        *(state.gammas if selection.combine == "intelligent" else (0.0, 0.0)),
        selection.weight_floor,
        least=least,
        joined=[name for name, when in since.items() if when >= state.cycle - 1],
    )
    ids = features.strings("pool_ids")
    members = set(state.training_set.ids)
    view = PoolView(
        settings=settings,
        features=features,
        candidates=torch.tensor([name not in members for name in ids], dtype=torch.bool),
        columns=columns,
        cycle=state.cycle,
        sources=[(sources or {}).get(name, name) for name in ids],
        images=None if images is None else (lambda: images.tensor(ids)),
        seed_images=None if seeds is None else seeds.images,
        efficientnet=efficientnet,
        generated=state.generated,
    )
    strategy = strategy_of(settings)
    known = previous.get("score") if previous is not None and strategy.fixed else None
    score = strategy.score(view) if known is None else known
    return replace(view, columns={**columns, "score": score})


def select_batch(
    state: LoopState, pool: PoolView, ground_truth: Mapping[str, bool] | None = None
) -> TrainingSet:
    """X_T with this cycle's images, best first.

    ``ground_truth``, file name to whether an image is right, is handed only to what
    ``sees_ground_truth``.
    """
    settings = pool.settings
    strategy = strategy_of(settings)
    if strategy.sees_ground_truth:
        pool = replace(pool, ground_truth=ground_truth)
    places = strategy.pick(pool, derived_seed(settings.seed, "select", state.cycle)).tolist()
    ids = pool.features.strings("pool_ids")
    return state.training_set.plus([ids[place] for place in places], state.cycle)
