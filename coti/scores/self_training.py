"""How surely each pool image shows the concept, with no label: an order that teaches itself.

What is known is weak by itself: how near an image is to the seeds, how well a name fits it, how
good it looks. Together they order the pool well enough that its top is nearly all right. The mean
of that top, not of the seeds, is then what the rest is compared with: it has seen the whole
concept, where the seeds may be few or of one look (self-training; in retrieval, relevance feedback
without a user, Rocchio 1971). How much of the pool is right is read off the order itself. All in
float64 and by fixed numbers of steps. A classifier in place of the mean measured no better.
"""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["agreement", "evidence", "self_trained", "unreached", "upper_part"]

_AESTHETIC = 0.5
"""Say of S_aes in the evidence, beside 1 for the mean image."""
_SURE = 0.6
"""Part of the estimated right images that are taken for right, from the top."""
_START = 0.1
"""Share of right images from which the first estimate starts."""
_LEAST_SHARE = 0.02
"""Least share from which the second one starts."""


def self_trained(
    pool: torch.Tensor,  # [n, d], L2-normalised
    seeds: torch.Tensor,  # [s, d], L2-normalised, s ≥ 1
    text: torch.Tensor,  # [d], L2-normalised, of the concept's words
    s_aes: torch.Tensor,  # [n], 0 to 10
) -> torch.Tensor:
    """How surely an image shows the concept and looks good: float64 [n], accepted from 0 on.

    In the pool's standard deviations, ahead of the last image that is rather right than wrong.
    """
    count = len(pool)
    if count == 0:
        return torch.zeros(0, dtype=torch.float64)
    order = evidence(pool, seeds, text, s_aes)
    share = max(float(upper_part(order, _START).mean()), _LEAST_SHARE)
    ranked = order.argsort(descending=True, stable=True)
    sure = ranked[: max(1, round(_SURE * share * count))]
    order = evidence(pool, pool[sure], text, s_aes)
    upper = upper_part(order, share)
    right = upper > 0.5
    # The wider part is the likelier at both ends. Above the upper one's mean all are accepted, and
    # below the best that is rather wrong none is, however odd.
    wrong = order[~right & (order < (upper * order).sum() / upper.sum())]
    if len(wrong):
        right &= order > wrong.amax()
    return order - order[right].amin() if right.any() else order - order.amax()


def evidence(
    pool: torch.Tensor,  # [n, d], L2-normalised
    shown: torch.Tensor,  # [s, d], L2-normalised, images of the concept
    text: torch.Tensor,  # [d], L2-normalised
    s_aes: torch.Tensor,  # [n], 0 to 10
) -> torch.Tensor:
    """What is known of each image of a pool: float64 [n], mean 0, deviation 1.

    The cosines to the mean of what shows the concept and to the concept's words, and S_aes, each in
    the pool's standard deviations. The words have as much say as they agree with the images
    (:func:`agreement`): little where the text tower does not know them.
    """
    by_images = _products(pool, functional.normalize(shown.double().mean(dim=0), dim=0))
    by_text = _products(pool, text.double())
    known = _standard(by_images) + agreement(by_images, by_text) * _standard(by_text)
    return _standard(known + _AESTHETIC * _standard(s_aes.double()))


def agreement(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlation of two scores [n] of the same images, 0 where it is negative.

    >>> round(agreement(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([5.0, 7.0, 11.0])), 6)
    1.0
    """
    return max(0.0, float((_standard(a.double()) * _standard(b.double())).mean()))


def upper_part(values: torch.Tensor, start: float, steps: int = 40) -> torch.Tensor:
    """Chance of each value [n] to be of the upper of two normal distributions: float64 [n], 0 to 1.

    Fitted by EM from the top; ``start``, 0 to 1, is the part of the highest values that it begins
    with. The mean is the upper part's share. Fewer than 4 values say nothing: the start stays.
    """
    values, count = values.double(), len(values)
    upper = torch.zeros(count, dtype=torch.float64)
    upper[values.argsort(descending=True, stable=True)[: max(2, round(start * count))]] = 1
    if count < 4:
        return upper
    least = 0.05 * values.std().clamp(min=1e-9)  # no part shrinks to a few equal values
    for _ in range(steps):
        densities = []
        for member in (upper, 1 - upper):
            weight = member.sum().clamp(min=1e-9)
            mean = (member * values).sum() / weight
            deviation = ((member * (values - mean).square()).sum() / weight).sqrt().clamp(min=least)
            distance = (values - mean) / deviation
            densities.append((weight / count).log() - deviation.log() - distance.square() / 2)
        upper = torch.sigmoid(densities[0] - densities[1])
    return upper


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
    for rows in torch.split(torch.arange(len(accepted)), 8192):
        cosines = accepted[rows] @ accepted[some].T
        cosines[rows[:, None] == some] = -torch.inf  # an image is no neighbour of itself
        reach = cosines.topk(k, dim=1).values[:, -1]
        parts.append((accepted[rows] @ generated.T).amax(dim=1) < reach)
    return torch.cat(parts)


def _products(pool: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Inner products float64 [n] of rows [n, d], which may be mapped from a file."""
    return torch.cat([block.double() @ direction for block in torch.split(pool, 8192)])


def _standard(values: torch.Tensor) -> torch.Tensor:
    """Values [n] with mean 0 and deviation 1; equal ones are all 0."""
    centred = values - values.mean()
    return centred / centred.square().mean().sqrt().clamp(min=1e-9)
