"""IS: what one image contributes to the Inception Score of the pool (Salimans et al. 2016)."""

from __future__ import annotations

import torch

__all__ = ["inception_contribution"]


def inception_contribution(logits: torch.Tensor) -> torch.Tensor:
    """``KL(p(y|x) ‖ p(y))`` of each image; the score is the exponential of their mean.

    Logits [n, classes] of an ImageNet classifier, Inception-v3's for the score by its name, to
    float32 [n], 0 or more: surely of one class, and of a rare one, scores high.

    >>> inception_contribution(torch.zeros(2, 10))
    tensor([0., 0.])
    """
    given = logits.double().log_softmax(dim=1)
    marginal = given.exp().mean(dim=0).clamp(min=1e-300).log()
    return (given.exp() * (given - marginal)).sum(dim=1).float()
