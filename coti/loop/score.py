"""Stations 1 to 3 of a cycle: fit both scorers, score the pool, select."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.loop.inputs import Encoders, Images
from coti.loop.plan import strategy_of
from coti.loop.training_set import TrainingSet
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer
from coti.scores.scoring import finetune_for_cycle, fit_concept, score_candidates
from coti.selection import PoolView
from coti.settings import RunSettings

__all__ = ["finetune_aesthetic_scorer", "fit_concept_scorer", "score_pool", "select_batch"]


def finetune_aesthetic_scorer(
    features: TensorBundle,
    sources: Mapping[str, str],
    seeds: ImageSet,
    training_set: TrainingSet,
    cycle: int,
    encoders: Encoders,
    settings: RunSettings,
) -> AestheticHead:
    """θ of a cycle (Eq. 7), fine-tuned on X_T as the cycle before left it.

    Args:
        features: of :func:`coti.scores.scoring.embed_images`.
        sources: id to file name of pool and seeds, for the user's ratings.
        seeds: the seed images.
        training_set: X_T before this cycle selects.
        cycle: this cycle.
        encoders: the scorer, for degraded seeds.
        settings: the run's; its files found.
    """
    return finetune_for_cycle(
        features,
        sources,
        seeds,
        training_set.since(),
        cycle,
        encoders.scorer,
        settings.aesthetic,
        derived_seed(settings.seed, "aesthetic", cycle),
    )


def fit_concept_scorer(
    features: TensorBundle, training_set: TrainingSet, settings: RunSettings
) -> ConceptScorer:
    """S_con (Eq. 8) against X_T, once for each X_T there is."""
    return fit_concept(features, training_set.ids, settings.concept_score, settings.seed)


def score_pool(
    features: TensorBundle,
    head: AestheticHead,
    concept: ConceptScorer,
    training_set: TrainingSet,
    cycle: int,
    gammas: tuple[float, float],
    settings: RunSettings,
    *,
    previous: Mapping[str, torch.Tensor] | None = None,
    sources: Mapping[str, str] | None = None,
    images: Images | None = None,
    seeds: ImageSet | None = None,
    efficientnet: Callable[[], EfficientNetLite0] | None = None,
) -> PoolView:
    """S_aes, S_con, S_int (Eq. 7, 8, 11) and the strategy's own score of every pool image.

    Args:
        features: of :func:`coti.scores.scoring.embed_images`.
        head: θ of this cycle.
        concept: S_con against X_T so far.
        training_set: X_T so far.
        cycle: this cycle.
        gammas: γ_aes and γ_con of the last generations (Eq. 9, 10); zeros before there are any.
        settings: of :func:`coti.loop.plan.effective`.
        previous: the columns of the cycle before: of Eq. 8 only what joined X_T since is new, and
            a score that stays is not computed again.
        sources: id to file name.
        images: the pool's, for strategies that look at them.
        seeds: the seed images, likewise.
        efficientnet: loads the reference judge, likewise.
    """
    selection = settings.selection
    least = None if previous is None else previous.get("least_cosine")
    columns = score_candidates(
        features,
        head,
        concept,
        *(gammas if selection.combine == "intelligent" else (0.0, 0.0)),
        selection.weight_floor,
        least=least,
        joined=[name for name, when in training_set.since().items() if when >= cycle - 1],
    )
    ids = features.strings("pool_ids")
    members = set(training_set.ids)
    view = PoolView(
        settings=settings,
        features=features,
        candidates=torch.tensor([name not in members for name in ids], dtype=torch.bool),
        columns=columns,
        cycle=cycle,
        sources=[(sources or {}).get(name, name) for name in ids],
        images=None if images is None else (lambda: images.tensor(ids)),
        seed_images=None if seeds is None else seeds.images,
        efficientnet=efficientnet,
    )
    strategy = strategy_of(settings)
    known = previous.get("score") if previous is not None and strategy.fixed else None
    return view.with_score(strategy.score(view) if known is None else known)


def select_batch(
    pool: PoolView, training_set: TrainingSet, ground_truth: Mapping[str, bool] | None = None
) -> tuple[TrainingSet, list[int]]:
    """X_T with this cycle's images, and their places in the pool, best first.

    ``ground_truth``, file name to whether an image is right, is handed to ``oracle`` alone.
    """
    settings = pool.settings
    strategy = strategy_of(settings)
    if settings.strategy == "oracle":
        pool = pool.with_ground_truth(ground_truth)
    places = strategy.pick(pool, derived_seed(settings.seed, "select", pool.cycle)).tolist()
    ids = pool.features.strings("pool_ids")
    return training_set.plus([ids[place] for place in places], pool.cycle), places
