"""Station 1 of a cycle: fit both scorers, S_aes (Eq. 7) and S_con (Eq. 8)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.loop.inputs import Encoders, Reviewed
from coti.loop.state import LoopState
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
    replayed_ratings,
)
from coti.scores.concept_score import ConceptScorer
from coti.scores.features_to_scores import concept_suffix, rows_of
from coti.scores.formulas import TOP
from coti.settings import RunSettings

__all__ = ["finetune_aesthetic_scorer", "fit_concept_scorer"]


def finetune_aesthetic_scorer(
    state: LoopState,  # X_T before this cycle selects
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    sources: Mapping[str, str],  # id to file name of pool and seeds, for the user's ratings
    seeds: ImageSet,  # rated 10
    encoders: Encoders,  # the scorer, for degraded seeds
    settings: RunSettings,  # its files found
    reviewed: Reviewed | None = None,  # whose ratings win over all others
) -> AestheticHead:
    """θ of a cycle (Eq. 7): the start head fine-tuned on all ratings there are by now."""
    said = reviewed.ratings if reviewed else {}
    rules, seed = settings.aesthetic, derived_seed(settings.seed, "aesthetic", state.cycle)
    if rules.head is None:
        head = AestheticHead.fresh(features["pool"].shape[1], derived_seed(seed, "fresh head"))
    else:
        head = load_aesthetic_head(rules.head)
    of_seeds = [said.get(name, TOP) for name in features.strings("seed_ids")]
    sets = [Ratings(features["seeds"], torch.tensor(of_seeds))]
    if rules.ratings is not None:
        sets.append(load_ratings(rules.ratings))
    if rules.user_ratings is not None:
        by_name: dict[str, torch.Tensor] = {}
        better = {sources[name]: rating for name, rating in said.items() if name in sources}
        # The pool wins where both have a file of that name.
        for ids, rows in (("seed_ids", "seeds"), ("pool_ids", "pool")):
            named = zip(features.strings(ids), features[rows], strict=True)
            by_name.update({sources[name]: row for name, row in named if name in sources})
        sets.append(load_user_ratings(rules.user_ratings, by_name, better))
    if said:
        sets.append(Ratings(rows_of(features, list(said)), torch.tensor(list(said.values()))))
    if rules.degrade_seeds:
        degraded = degraded_ratings(seeds.images, encoders.scorer, derived_seed(seed, "degrade"))
        sets.append(degraded)
    seed_ids = set(features.strings("seed_ids"))
    since = state.training_set.since()
    chosen = {name: when for name, when in since.items() if name not in seed_ids}
    if chosen:
        ratings = [
            said.get(name, rate_selected(when, state.cycle, rules)) for name, when in chosen.items()
        ]
        sets.append(Ratings(rows_of(features, list(chosen)), torch.tensor(ratings)))
    # As in the release, each kind of negatives has as much say as all of X_T.
    say = 2.0 if chosen else 1.0
    for number in range(len(rules.negatives)):
        others, draw = features[f"negatives_{number}"], derived_seed(seed, "negatives", number)
        sets.append(replayed_ratings(head, others, len(state.training_set), draw, say))
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
