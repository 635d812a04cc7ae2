"""R-precision: how often the judge gives an image its own caption (Xu et al. 2018)."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from coti.core.errors import MetricError
from coti.metrics.frechet import check_features

__all__ = ["r_precision"]


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
