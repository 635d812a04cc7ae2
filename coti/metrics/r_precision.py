"""R-precision: how often the judge gives an image its own caption (Xu et al. 2018)."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from coti.core.errors import MetricError
from coti.metrics.frechet import check_features

__all__ = ["r_precision", "share_interval"]

_Z = 1.959964
"""Of the normal distribution, for 95 %."""


def r_precision(
    image_features: torch.Tensor,  # [n, d], the judge's; need not be normalised
    caption_features: torch.Tensor,  # [c, d], the judge's, of the candidate captions
    own: int,  # row of the images' own caption, 0 to c − 1
    top: int = 1,  # how many nearest captions count, 1 to c
) -> float:
    """Share of images whose own caption is among the ``top`` nearest by cosine, 0 to 1.

    Report the number of candidates with it: ``top1/100`` is another number than ``top1/10``. A
    caption as near as the own one counts as nearer, so a model that sees no difference gets 0.

    Raises:
        MetricError: shapes that do not fit, or no caption but the own one: that would always be 1.
    """
    check_features(image_features=image_features, caption_features=caption_features)
    if len(caption_features) < 2:
        raise MetricError("R-precision needs another caption than the images' own.")
    cosines = normalize(image_features.double()) @ normalize(caption_features.double()).T
    others = torch.arange(len(caption_features)) != own
    nearer = (cosines[:, others] >= cosines[:, own, None]).sum(dim=1)
    return float((nearer < top).double().mean())


def share_interval(share: float, images: int) -> tuple[float, float]:
    """95 % interval of a share of so many images, 0 to 1 (Wilson 1927).

    It is of the draw of images alone: another noise, the same embedding. At a share of 1 it still
    says how many images that was.

    >>> [round(end, 3) for end in share_interval(1.0, 16)]
    [0.806, 1.0]
    """
    middle = share + _Z**2 / (2 * images)
    half = _Z * (share * (1 - share) / images + _Z**2 / (4 * images**2)) ** 0.5
    whole = 1 + _Z**2 / images
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
