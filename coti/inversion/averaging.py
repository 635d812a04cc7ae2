"""The mean of the latest iterates: what training ends at, with less of its last steps' chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

    Args:
        width: see :func:`power_of_width`; 0 for none, then it is the tensors themselves.
        parts: what is trained.
    """

    def __init__(self, width: float, parts: Sequence[torch.Tensor]) -> None:
        self._power = power_of_width(width) if width else None
        self._parts = list(parts)
        self.parts = [part.detach().clone() for part in parts] if width else self._parts
        """As ``parts``; to be restored in place."""

    @torch.no_grad()
    def add(self, step: int) -> None:
        """The tensors as they are after step ``step``, counted from 1."""
        if self._power is None:
            return
        kept = (1 - 1 / step) ** (self._power + 1)
        for mean, part in zip(self.parts, self._parts, strict=True):
            mean.lerp_(part, 1 - kept)

    def end(self, constrain: Callable[[Sequence[torch.Tensor]], None]) -> Sequence[torch.Tensor]:
        """What training ends at, held to what each step's result is held to."""
        if self._power is None:
            return self.parts
        found = [part.clone() for part in self.parts]
        constrain(found)
        return found

    def kept(self) -> dict[str, torch.Tensor]:
        """What a checkpoint needs beside the tensors."""
        if self._power is None:
            return {}
        return {f"average.{place}": part for place, part in enumerate(self.parts)}
