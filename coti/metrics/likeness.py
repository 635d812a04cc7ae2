"""How like one set of images is to another, on features of any encoder, in shares of pairs.

Shares and not cosines: they mean the same on every encoder, so that one threshold serves all.
"""

from __future__ import annotations

import torch

__all__ = ["nearest", "share_above", "share_of_copies", "spread", "told_apart_by"]

_BLOCK = 8192
_TIE = 0.02
"""A fiftieth of the range: what differs by less is the same to the eye, and grey is grey."""


def nearest(images: torch.Tensor, shown: torch.Tensor, others: bool = False) -> torch.Tensor:
    """Cosine of each image to the nearest of ``shown``: float32 [n].

    Args:
        images: float32 [n, d], L2-normalised; may be mapped from a file.
        shown: float32 [k, d], L2-normalised, k ≥ 1.
        others: ``images`` are ``shown``, and none is its own neighbour.
    """
    found = []
    for rows in torch.split(torch.arange(len(images)), _BLOCK):
        cosines = images[rows] @ shown.T
        if others:
            cosines[torch.arange(len(rows)), rows] = -torch.inf
        found.append(cosines.amax(dim=1))
    return torch.cat(found) if found else images.new_zeros(0)


def share_above(values: torch.Tensor, than: torch.Tensor) -> float:
    """Share of pairs in which a value [n] is above one of ``than`` [m], ties half: 0 to 1.

    The area under the ROC curve; ½ where both are alike.

    >>> share_above(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 3.0]))
    0.875
    """
    ordered = than.sort().values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    return float((below + up_to).double().mean() / (2 * len(than)))


def share_of_copies(generated: torch.Tensor, shown: torch.Tensor) -> float:
    """Share of generations nearer to an image that was shown than any two of these are: 0 to 1.

    Of L2-normalised features [m, d] and [k, d], m ≥ 1 and k ≥ 2. Images that were shown twice are
    as near to each other as can be, and hide every copy: leave the second one out.
    """
    apart = nearest(shown, shown, others=True).amax()
    return float((nearest(generated, shown) > apart).double().mean())


def spread(features: torch.Tensor) -> float:
    """Mean of 1 - cosine over all pairs of different rows [n, d], n ≥ 2: 0 where all are equal."""
    count = len(features)
    total = float(features.double().sum(dim=0).square().sum())
    return max(0.0, 1 - (total - count) / (count * (count - 1)))


def told_apart_by(first: torch.Tensor, second: torch.Tensor) -> float:
    """How well one statistic alone tells two sets [n, k] and [m, k] apart, the one that does best.

    Of :func:`coti.core.image_statistics.image_statistics`.

    0 where each statistic is above the other set's as often as below, 1 where one of them never
    overlaps (the area under its ROC curve, from ½ to 1, stretched).
    """
    areas = [
        share_above((a / _TIE).round().contiguous(), (b / _TIE).round().contiguous())
        for a, b in zip(first.T, second.T, strict=True)
    ]
    return max(abs(2 * area - 1) for area in areas)
