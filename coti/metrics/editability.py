"""The two metrics of Textual Inversion (Gal et al. 2022, §5): reconstruction and editability."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from coti.metrics.frechet import check_features

__all__ = ["editability", "reconstruction"]


def reconstruction(generated: torch.Tensor, references: torch.Tensor) -> float:
    """Mean pairwise cosine of the concept's generations and its images, −1 to 1.

    Of image features [n, d] of images of the bare token ("a photo of S*"), and [m, d].

    Raises:
        MetricError: one of them is empty, or their widths differ.
    """
    check_features(generated=generated, references=references)
    # The mean of all products is the product of the means of the unit vectors.
    ours = normalize(generated.double()).mean(dim=0)
    theirs = normalize(references.double()).mean(dim=0)
    return float(ours @ theirs)


def editability(generated: torch.Tensor, text: torch.Tensor) -> float:
    """Cosine of the mean generation of a prompt and the prompt without the token, −1 to 1.

    Of image features [n, d] of one prompt, and its text features [1, d].

    Raises:
        MetricError: there is no image, or their widths differ.
    """
    check_features(generated=generated, text=text)
    mean = normalize(normalize(generated.double()).mean(dim=0, keepdim=True))
    return float((mean @ normalize(text.double()).T).squeeze())
