"""How surely each pool image shows the concept, with no label: a classifier that teaches itself.

What is known is weak by itself: how near an image is to the seeds, how well a name fits it, how
good it looks. Together they order the pool well enough that its top is nearly all right and its
lower part nearly all wrong. A classifier of these two sees what the seeds cannot show, the whole
concept, and orders the pool anew (self-training, Yarowsky 1995, as two-step learning from positive
and unlabelled examples, Bekker and Davis 2020). Once: on features that tell the concept badly
apart, more rounds only make its errors larger. All in float64 and by fixed numbers of steps.
"""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = [
    "agreement",
    "evidence",
    "logistic_regression",
    "self_trained",
    "unreached",
    "upper_share",
]

_AESTHETIC = 0.5
"""Say of S_aes in the evidence, beside 1 for the seeds."""
_SURE = 0.6
"""Part of the estimated right images that are taken for positives, from the top."""
_DOUBTFUL = 1.5
"""Times the estimated right images behind which all are taken for negatives."""
_START = 0.1
"""Share of right images from which the first estimate starts."""
_LEAST_SHARE = 0.02
"""Least share that the fit is made with."""
_MARGIN = 1.1
"""Accepted images to estimated right ones: the scores of these have a long lower end, of which a
normal distribution misses some."""
_EXAMPLES = 4_000
"""Most negatives, and most positives, of a fit; taken evenly from the ranks."""
_SPREAD = 3.0
"""Root mean square length of a centred feature before the fit."""
_DECAY = 0.1
"""Weight decay of the fit."""


def self_trained(
    pool: torch.Tensor,  # [n, d], L2-normalised
    seeds: torch.Tensor,  # [s, d], L2-normalised, s ≥ 1
    text: torch.Tensor,  # [d], L2-normalised, of the concept's words
    s_aes: torch.Tensor,  # [n], 0 to 10
) -> torch.Tensor:
    """How surely an image shows the concept and looks good: float64 [n], accepted from 0 on.

    The smaller of two: how far it is ahead of the last of as many images as are estimated to be
    right, in the pool's standard deviations, and the classifier's log odds.
    """
    count = len(pool)
    if count == 0:
        return torch.zeros(0, dtype=torch.float64)
    known = evidence(pool, seeds, text, s_aes)
    share = max(upper_share(known, _START), _LEAST_SHARE)
    ranked = known.argsort(descending=True, stable=True)
    sure = _evenly(ranked[: max(1, round(_SURE * share * count))])
    wrong = _evenly(ranked[min(count - 1, round(_DOUBTFUL * share * count)) :])
    # Half for what is right, of which the seeds, which a person chose, have half.
    sizes = ((len(seeds), 0.25), (len(sure), 0.25), (len(wrong), 0.5))
    weights = torch.cat([torch.full((n,), say / n, dtype=torch.float64) for n, say in sizes])
    target = torch.ones_like(weights)
    target[-len(wrong) :] = 0
    centre = pool.mean(dim=0).double()
    scale = _SPREAD / (1 - centre.square().sum()).clamp(min=1e-6).sqrt()
    examples = torch.cat([seeds, pool[sure], pool[wrong]]).double()
    solution = logistic_regression((examples - centre) * scale, target, weights, _DECAY)
    direction = solution[:-1] * scale
    log_odds = _products(pool, direction) - centre @ direction + solution[-1]
    order = _standard(log_odds) + known
    share = upper_share(order, share)
    accepted = min(count, max(1, round(_MARGIN * share * count)))
    return torch.minimum(order - order.sort(descending=True).values[accepted - 1], log_odds)


def unreached(
    accepted: torch.Tensor,  # [a, d], L2-normalised, images that show the concept
    generated: torch.Tensor,  # [m, d], L2-normalised, what the embedding generates, m ≥ 1
    neighbours: int = 5,
) -> torch.Tensor:
    """Accepted images near which nothing is generated: bool [a]. Eq. 11's idea, image by image.

    An image is reached where a generation is nearer to it than its k-th nearest of as many accepted
    images as there are generations: coverage (Naeem et al. 2020), of each image.
    """
    few = min(len(accepted), len(generated))
    some = torch.arange(few) * len(accepted) // max(1, few)
    k = min(neighbours, few - 1)
    if k < 1:
        return torch.ones(len(accepted), dtype=torch.bool)
    parts = []
    for rows in torch.arange(len(accepted)).split(8192):
        cosines = accepted[rows] @ accepted[some].T
        cosines[rows[:, None] == some] = -torch.inf  # an image is no neighbour of itself
        reach = cosines.topk(k, dim=1).values[:, -1]
        parts.append((accepted[rows] @ generated.T).amax(dim=1) < reach)
    return torch.cat(parts)


def evidence(
    pool: torch.Tensor,  # [n, d], L2-normalised
    seeds: torch.Tensor,  # [s, d], L2-normalised
    text: torch.Tensor,  # [d], L2-normalised
    s_aes: torch.Tensor,  # [n], 0 to 10
) -> torch.Tensor:
    """What is known of an image before anything is learned: float64 [n], mean 0, deviation 1.

    The cosines to the seeds' mean and to the concept's words, and S_aes, each in the pool's
    standard deviations. The words have as much say as they agree with the seeds
    (:func:`agreement`): little where the text tower does not know them.
    """
    by_seeds = _products(pool, functional.normalize(seeds.double().mean(dim=0), dim=0))
    by_text = _products(pool, text.double())
    known = _standard(by_seeds) + agreement(by_seeds, by_text) * _standard(by_text)
    return _standard(known + _AESTHETIC * _standard(s_aes.double()))


def agreement(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlation of two scores [n] of the same images, 0 where it is negative.

    >>> agreement(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 9.0]))
    1.0
    """
    return max(0.0, float((_standard(a.double()) * _standard(b.double())).mean()))


def upper_share(values: torch.Tensor, start: float, steps: int = 40) -> float:
    """Part of values [n] in the upper of two normal distributions, fitted by EM from the top.

    ``start``: the part of the highest values that the fit begins with, 0 to 1. The upper one is the
    one that the highest values belong to; fewer than 4 values say nothing, ``start`` is returned.
    """
    values, count = values.double(), len(values)
    if count < 4:
        return start
    least = 0.05 * values.std().clamp(min=1e-9)  # no part shrinks to a few equal values
    upper = torch.zeros(count, dtype=torch.float64)
    upper[values.argsort(descending=True, stable=True)[: max(2, round(start * count))]] = 1
    for _ in range(steps):
        densities = []
        for member in (upper, 1 - upper):
            weight = member.sum().clamp(min=1e-9)
            mean = (member * values).sum() / weight
            deviation = ((member * (values - mean).square()).sum() / weight).sqrt().clamp(min=least)
            distance = (values - mean) / deviation
            densities.append((weight / count).log() - deviation.log() - distance.square() / 2)
        upper = torch.sigmoid(densities[0] - densities[1])
    return float(upper.mean())


def logistic_regression(
    examples: torch.Tensor,  # float64 [n, d]
    target: torch.Tensor,  # float64 [n], 0 or 1
    weights: torch.Tensor,  # float64 [n], of each example in the loss
    decay: float,  # on all but the bias
    steps: int = 10,
) -> torch.Tensor:
    """Weighted logistic regression by Newton's method: float64 [d + 1], the bias last."""
    examples = functional.pad(examples, (0, 1), value=1.0)
    penalty = torch.full((examples.shape[1],), decay, dtype=torch.float64)
    penalty[-1] = 1e-9
    solution = torch.zeros(examples.shape[1], dtype=torch.float64)
    for _ in range(steps):
        chance = torch.sigmoid(examples @ solution)
        curve = weights * (chance * (1 - chance)).clamp(min=1e-6)
        gradient = examples.T @ (weights * (chance - target)) + penalty * solution
        hessian = examples.T @ (examples * curve[:, None]) + penalty.diag()
        solution = solution - torch.linalg.solve(hessian, gradient)
    return solution


def _evenly(ranked: torch.Tensor) -> torch.Tensor:
    """At most ``_EXAMPLES`` of the ranked places, evenly from the first to the last."""
    if len(ranked) <= _EXAMPLES:
        return ranked
    return ranked[torch.arange(_EXAMPLES) * len(ranked) // _EXAMPLES]


def _products(pool: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Inner products float64 [n] of rows [n, d], which may be mapped from a file."""
    return torch.cat([block.double() @ direction for block in pool.split(8192)])


def _standard(values: torch.Tensor) -> torch.Tensor:
    """Values [n] with mean 0 and deviation 1; equal ones are all 0."""
    centred = values - values.mean()
    return centred / centred.square().mean().sqrt().clamp(min=1e-9)
