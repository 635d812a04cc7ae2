"""R-precision: how often the judge gives an image its own caption (Xu et al. 2018)."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from coti.core.errors import MetricError

__all__ = ["r_precision"]


def r_precision(
    image_features: torch.Tensor, caption_features: torch.Tensor, own: int, top: int = 1
) -> float:
    """Share of images whose own caption is among the ``top`` nearest by cosine, 0 to 1.

    Report the number of candidates with it: ``top1/100`` is another number than ``top1/10``. A
    caption as near as the own one counts as nearer, so a model that sees no difference gets 0.

    Args:
        image_features: [n, d], the judge's; need not be normalised.
        caption_features: [c, d], the judge's features of the candidate captions.
        own: row of the images' own caption, 0 to c − 1.
        top: how many nearest captions count, 1 to c.

    Raises:
        MetricError: shapes that do not fit, or ``own`` or ``top`` outside their range.
    """
    for name, features in (
        ("image_features", image_features),
        ("caption_features", caption_features),
    ):
        if features.ndim != 2 or len(features) == 0:
            raise MetricError(
                f"{name} must have shape [n, d] with n ≥ 1, got {list(features.shape)}."
            )
    candidates = len(caption_features)
    if image_features.shape[1] != caption_features.shape[1]:
        raise MetricError(
            "image_features and caption_features must have one width, got "
            f"{image_features.shape[1]} and {caption_features.shape[1]}."
        )
    if not 0 <= own < candidates:
        raise MetricError(f"own must be from 0 to {candidates - 1}, got {own}.")
    if not 1 <= top <= candidates:
        raise MetricError(f"top must be from 1 to {candidates}, got {top}.")
    cosines = normalize(image_features.double()) @ normalize(caption_features.double()).T
    others = torch.arange(candidates) != own
    nearer = (cosines[:, others] >= cosines[:, own, None]).sum(dim=1)
    return float((nearer < top).double().mean())
