"""The mean of the latest iterates: what training ends at, with less of its last steps' chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["Average", "power_of_width"]


def power_of_width(width: float) -> float:
    """γ of the average of relative width σ_rel (Karras et al. 2024, "Analyzing and Improving the
    Training Dynamics of Diffusion Models", Algorithm 2).

    Args:
        width: σ_rel, above 0 and at most 0.28: the average's standard deviation in time, as a part
            of the training so far.
    """
    return float(np.roots([1, 7, 16 - width**-2, 12 - width**-2]).real.max())


class Average:
    """A power-function average of tensors over the steps of a training (ibid., Eq. 2 and 3).

    A step τ of t weighs as τ^γ, whatever t will be: it needs no plan of how long training lasts.
    """

    def __init__(self, width: float, parts: Sequence[torch.Tensor]) -> None:
        """``width``: see :func:`power_of_width`; ``parts``: where training starts."""
        self._power = power_of_width(width)
        self.parts = [part.detach().clone() for part in parts]

    @torch.no_grad()
    def add(self, step: int, parts: Sequence[torch.Tensor]) -> None:
        """The tensors after step ``step``, counted from 1; the first takes the start's place."""
        kept = (1 - 1 / step) ** (self._power + 1)
        for mean, part in zip(self.parts, parts, strict=True):
            mean.lerp_(part.to(mean.dtype), 1 - kept)
