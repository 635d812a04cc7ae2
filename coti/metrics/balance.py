"""How evenly an embedding's images fall on classes: what bias reduction is measured by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from coti.core.errors import MetricError
from coti.metrics.frechet import check_features

__all__ = ["class_shares", "evenness"]


def class_shares(
    image_features: torch.Tensor,  # [n, d]
    caption_features: torch.Tensor,  # [c, d], one a class
    names: Sequence[str],  # of the classes, c
) -> dict[str, float]:
    """Share of images whose nearest caption by cosine is each class's, adding up to 1.

    Raises:
        MetricError: no image, fewer than two classes, or shapes that do not fit.
    """
    if len(names) < 2:
        raise MetricError(f"{', '.join(names)} is one class: at least two are told apart.")
    check_features(image_features=image_features, caption_features=caption_features)
    cosines = normalize(image_features.double()) @ normalize(caption_features.double()).T
    counts = torch.bincount(cosines.argmax(dim=1), minlength=len(names))
    shares = (counts.double() / len(image_features)).tolist()
    return dict(zip(names, shares, strict=True))


def evenness(shares: dict[str, float], expected: Sequence[str]) -> tuple[float, float, float]:
    """How evenly images fall on the classes that an embedding should cover, those expected.

    Returns:
        Entropy in bits, 0 to ``log2(len(expected))``, and the largest share of one class, both
        among the images of expected classes; and the share of these among all images.

    Raises:
        MetricError: an expected class is none of those measured.
    """
    unknown = sorted(set(expected) - set(shares))
    if unknown or not expected:
        raise MetricError(
            f"{', '.join(unknown) or 'no class'} is not among the classes measured "
            f"({', '.join(shares)}): name some of those."
        )
    chosen = [shares[name] for name in dict.fromkeys(expected)]
    covered = sum(chosen)
    if covered == 0:
        return 0.0, 1.0, 0.0
    parts = [share / covered for share in chosen]
    entropy = -sum(part * math.log2(part) for part in parts if part > 0)
    return entropy, max(parts), covered
