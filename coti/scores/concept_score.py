"""S_con (Eq. 8): how much an image shows the concept, 0 to 10, from frozen image features.

Nobody labels anything: what is known is X_T (seeds and selected images) and a pool in which an
unknown part shows the concept. All kinds but the literal one are calibrated on the seeds
themselves. Each seed is scored by what was fitted without it, as a pool image would be; the mean
of these held-out scores becomes 8, and 1.5 standard deviations below it, 5. So a gate at 5 asks a
image to be about as typical as the least typical seed, whatever the encoder and whatever the
part of the pool that shows the concept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch.nn import functional

from coti.core.errors import ConfigError
from coti.encoders.protocol import normalized
from coti.scores.formulas import TOP, smooth_clamp
from coti.settings import ConceptScoreSettings

__all__ = ["ConceptScorer", "fit_concept_scorer", "least_cosine", "update_least_cosine"]

Kind = Literal["min_cosine", "calibrated", "knn", "classifier"]

_SEED_MEAN = 8.0
"""Score of a held-out seed on average; room above it keeps γ_con from saturating."""
_GATE = 5.0
"""Score this many standard deviations of the held-out seeds below their mean."""
_GATE_DEVIATIONS = 1.5
_ROWS = 65_536
"""Rows compared at once, which bounds the memory of a million images."""
_NEGATIVES = 4_000
"""Most pool images a classifier is fitted on."""
_ROUNDS = 3
"""Times the classifier is fitted again without the pool images that look like seeds."""
_DECAY = 0.1
"""Weight decay of the classifier; stronger is closer to the difference of the two means."""
_SPREAD = 3.0
"""Root mean square length of a centred feature before the classifier."""


@dataclass(frozen=True)
class ConceptScorer:
    """S_con, fitted. Affine kinds score a million images with one matrix-vector product."""

    kind: Kind
    reference: torch.Tensor
    """float32 [m, d], L2-normalised features of X_T; [0, d] for ``classifier``."""
    weight: torch.Tensor
    """float32 [d] for ``classifier``; else [1], the slope on the raw cosine."""
    bias: torch.Tensor
    """float32 [1]."""
    neighbours: int = 1
    """k of ``knn``."""

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """S_con of L2-normalised features [n, d]: [n], 0 to 10."""
        if self.kind == "classifier":
            return smooth_clamp(features @ self.weight + self.bias)
        if self.kind == "knn":
            nearest = _nearest_cosine(features, self.reference, self.neighbours)
            return smooth_clamp(nearest * self.weight + self.bias)
        return self.score_least(least_cosine(features, self.reference))

    @property
    def from_least(self) -> bool:
        """Whether S_con is a function of Eq. 8's minimum, which can be kept over the cycles."""
        return self.kind in ("min_cosine", "calibrated")

    def score_least(self, least: torch.Tensor) -> torch.Tensor:
        """S_con [n] from least cosines [n] kept over the cycles; where :attr:`from_least`."""
        if self.kind == "min_cosine":
            return (TOP * least).clamp(0.0, TOP)
        return smooth_clamp(least * self.weight + self.bias)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """All of it as tensors."""
        return {
            "kind": torch.tensor([get_args(Kind).index(self.kind)]),
            "neighbours": torch.tensor([self.neighbours]),
            "reference": self.reference.clone(),
            "weight": self.weight.clone(),
            "bias": self.bias.clone(),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> ConceptScorer:
        """The scorer of :meth:`to_tensors`."""
        return cls(
            kind=get_args(Kind)[int(tensors["kind"])],
            reference=tensors["reference"],
            weight=tensors["weight"],
            bias=tensors["bias"],
            neighbours=int(tensors["neighbours"]),
        )


def least_cosine(features: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The inner minimum of Eq. 8: the least cosine of each of [n, d] to X_T [m, d], m ≥ 1.

    Both are L2-normalised; the minimum [n] is −1 to 1.
    """
    start = torch.full((len(features),), torch.inf)
    return update_least_cosine(start, reference, features)


def update_least_cosine(
    least: torch.Tensor,  # [n], the pool's least cosines so far; infinite where there is none yet
    new_features: torch.Tensor,  # [b, d], L2-normalised, of the images that joined X_T
    pool_features: torch.Tensor,  # [n, d], L2-normalised
) -> torch.Tensor:
    """Eq. 8's minimum [n] after X_T grew: only the B new images are compared, pool × B products.

    The same as :func:`least_cosine` against the whole X_T.
    """
    if len(new_features) == 0:
        return least.clone()
    out = torch.empty_like(least)
    for first in range(0, len(pool_features), _ROWS):
        rows = slice(first, first + _ROWS)
        new = (pool_features[rows] @ new_features.T).amin(dim=1)
        out[rows] = torch.minimum(least[rows], new)
    return out


def _nearest_cosine(features: torch.Tensor, reference: torch.Tensor, count: int) -> torch.Tensor:
    """Mean cosine to the ``count`` nearest of ``reference``: [n]."""
    count = min(count, len(reference))
    parts = [
        (features[first : first + _ROWS] @ reference.T).topk(count, dim=1).values.mean(dim=1)
        for first in range(0, len(features), _ROWS)
    ]
    return torch.cat(parts) if parts else torch.empty(0)


def fit_concept_scorer(
    settings: ConceptScoreSettings,
    train_features: torch.Tensor,  # [m, d], X_T, the seeds among them or not
    seed_features: torch.Tensor,  # [s, d], at least 2
    pool_features: torch.Tensor,  # [n, d]; an unknown part of it shows the concept
    distractor_features: torch.Tensor | None = None,  # [t, d], the scorer's, of names of others
    seed: int = 0,  # of the subset of a pool that is too large to fit on
) -> ConceptScorer:
    """Fit S_con to what is known in a cycle; with the seeds as X_T it is the scorer of φ_ref.

    The names of other things tell ``classifier`` which pool images are surely not the concept.

    Raises:
        ConfigError: no or too few seeds.
    """
    train, seeds = normalized(train_features), normalized(seed_features)
    if len(seeds) < 2:
        raise ConfigError(
            f"seeds: at least 2 are needed, to compare generations with them, got {len(seeds)}: "
            "add images of the concept (about ten work well)."
        )
    reference = torch.cat([seeds, _without(train, seeds)])
    if settings.kind == "min_cosine":
        return ConceptScorer("min_cosine", reference, torch.tensor([TOP]), torch.zeros(1))
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(pool_features), generator=generator)[:_NEGATIVES].sort().values
    pool = _without(normalized(pool_features[some]), reference)
    if settings.kind == "classifier":
        return _fit_classifier(settings, reference, len(seeds), pool, distractor_features)
    cosines = seeds @ reference.T
    own = torch.arange(len(seeds))
    if settings.kind == "calibrated":
        cosines[own, own] = torch.inf
        held_out, bulk = cosines.amin(dim=1), least_cosine(pool, reference)
        k = 1
    else:
        k = min(settings.neighbours, len(reference) - 1)
        cosines[own, own] = -torch.inf
        held_out = cosines.topk(k, dim=1).values.mean(dim=1)
        bulk = _nearest_cosine(pool, reference, k)
    slope, offset = _calibrate(held_out, bulk)
    return ConceptScorer(settings.kind, reference, slope[None], offset[None], k)


def _without(features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The rows of ``features`` that are not among ``others``."""
    if len(features) == 0 or len(others) == 0:
        return features
    return features[_nearest_cosine(features, others, 1) < 1 - 1e-6]


def _calibrate(held_out: torch.Tensor, bulk: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope and offset from raw scores to [0, 10].

    The held-out seeds' mean becomes 8 and 1.5 of their standard deviations below it 5. Few seeds
    make a poor standard deviation, so the pool bounds it: its lower quarter, the bulk, must come
    out at 0 or less, but no more than five times as far below the seeds as that takes.
    """
    mean, deviation = held_out.mean(), held_out.std()
    slope = (_SEED_MEAN - _GATE) / (_GATE_DEVIATIONS * deviation.clamp(min=1e-6))
    if len(bulk):
        gap = mean - bulk.quantile(0.25)
        if gap > 1e-6:
            least = _SEED_MEAN / gap
            slope = slope.clamp(least, 5 * least)
    return slope, _SEED_MEAN - slope * mean


def _fit_classifier(
    settings: ConceptScoreSettings,
    reference: torch.Tensor,
    seeds: int,
    pool: torch.Tensor,
    distractors: torch.Tensor | None,
) -> ConceptScorer:
    """Logistic regression of X_T against the pool, from positive and unlabelled images.

    The unlabelled pool is full of the concept. The held-out seeds are spies (Liu et al. 2002):
    what scores as they do is left out of the negatives, and the fit is made again. Names of other
    things, where given, bring back those that the scorer takes for such a thing. One fit for all
    and one without each seed run side by side as columns of one weight matrix.
    """
    width = reference.shape[1]
    if len(pool) == 0:
        pool = -reference.mean(dim=0, keepdim=True)
    centre = pool.mean(dim=0)
    scale = _SPREAD / (pool - centre).square().sum(dim=1).mean().sqrt().clamp(min=1e-6)
    positives, unlabelled = (reference - centre) * scale, (pool - centre) * scale
    examples = torch.cat([positives, unlabelled])
    target = torch.cat([torch.ones(len(positives)), torch.zeros(len(unlabelled))])
    weights = torch.empty(len(examples), seeds + 1)
    weights[: len(positives)] = _positive_weights(seeds, len(positives))
    named = _named_as_other(reference[:seeds], pool, distractors)
    negative = torch.ones(len(pool), dtype=torch.bool)
    solution = torch.empty(width + 1, seeds + 1)
    slope = offset = torch.zeros(())
    for _ in range(_ROUNDS + 1):
        weights[len(positives) :] = (0.5 * negative / negative.sum())[:, None]
        solution = _logistic(examples, target, weights, settings)
        raw = unlabelled @ solution[:-1, 0] + solution[-1, 0]
        held_out = (positives[:seeds] * solution[:-1, 1:].T).sum(dim=1) + solution[-1, 1:]
        slope, offset = _calibrate(held_out, raw)
        negative = (raw * slope + offset < _GATE) | named
        if negative.sum() < 0.02 * len(pool):  # all of the pool looks like the seeds
            negative = raw <= raw.quantile(0.02)
    weight = solution[:-1, 0] * scale * slope
    bias = solution[-1, 0] * slope + offset - centre @ weight
    return ConceptScorer("classifier", torch.empty(0, width), weight, bias[None])


def _positive_weights(seeds: int, positives: int) -> torch.Tensor:
    """Weights [positives, seeds + 1] of X_T; column 1 + i leaves seed i out.

    The seeds, which a person chose, have as much say as all that was selected together.
    """
    kept = torch.ones(positives, seeds + 1)
    kept[torch.arange(seeds), torch.arange(seeds) + 1] = 0
    selected = positives - seeds
    kept[:seeds] /= kept[:seeds].sum(dim=0)
    if selected:
        kept[seeds:] /= selected
        kept /= 2
    return 0.5 * kept


def _named_as_other(
    seeds: torch.Tensor, pool: torch.Tensor, distractors: torch.Tensor | None
) -> torch.Tensor:
    """Pool images that some name of another thing fits better than it fits any seed: bool [n].

    Image and text features live apart, so similarities to a name are compared with the pool's
    own, in its standard deviations.
    """
    if distractors is None or len(distractors) == 0 or len(pool) < 2:
        return torch.zeros(len(pool), dtype=torch.bool)
    names = normalized(distractors)
    of_pool, of_seeds = pool @ names.T, seeds @ names.T
    deviation, mean = torch.std_mean(of_pool, dim=0)
    deviation = deviation.clamp(min=1e-6)
    most_of_seeds = ((of_seeds - mean) / deviation).amax()
    return ((of_pool - mean) / deviation).amax(dim=1) > most_of_seeds


def _logistic(
    examples: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    settings: ConceptScoreSettings,
) -> torch.Tensor:
    """Weighted logistic regressions by Adam from zero: [d + 1, k], one a column of ``weights``."""
    examples = functional.pad(examples, (0, 1), value=1.0)
    solution = torch.zeros(examples.shape[1], weights.shape[1])
    first, second = torch.zeros_like(solution), torch.zeros_like(solution)
    decay = torch.full((len(solution), 1), _DECAY)
    decay[-1] = 0  # not on the bias
    for step in range(1, settings.classifier_steps + 1):
        error = weights * (torch.sigmoid(examples @ solution) - target[:, None])
        gradient = examples.T @ error + decay * solution
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        size = (second / (1 - 0.999**step)).sqrt() + 1e-8
        solution = solution - settings.classifier_learning_rate * first / (1 - 0.9**step) / size
    return solution
