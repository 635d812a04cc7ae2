"""When the loss on fixed draws has settled: DVAR, a stop for textual inversion without images."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch

__all__ = ["Dvar", "variance_ratio"]


def variance_ratio(losses: Sequence[float], window: int) -> float:
    """Variance of the last ``window`` losses over that of all (Voronov et al. 2023, §3.2).

    1 while there are fewer losses than ``window``, and where all losses are equal, which says
    nothing yet.

    >>> variance_ratio([4.0, 2.0, 1.0, 1.0], window=2)
    0.0
    """
    if len(losses) < window:
        return 1.0
    whole = statistics.pvariance(losses)
    return statistics.pvariance(losses[-window:]) / whole if whole > 0 else 1.0


class Dvar:
    """Deterministic variance evaluation ("Is This Loss Informative?", NeurIPS 2023).

    The training loss is too noisy to show convergence: its timesteps and noise change with every
    step. Measured after every step on one fixed batch, caption, timestep and noise it falls and
    then wavers about a level; training ends when the variance over a window is a small share of
    the variance over the whole history.

    Losses stay on the device until :meth:`settled` looks at them.
    """

    def __init__(self, window: int, threshold: float) -> None:
        """Take the window in steps and the ratio, 0 to 1, below which training ends."""
        self.window = window
        self.threshold = threshold
        self.losses: list[float] = []
        self.reason = ""
        """Why the training ended, a sentence for the user; empty before that."""
        self._waiting: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor) -> None:
        """Note the loss on the fixed draws, a scalar, after a step."""
        self._waiting.append(loss.detach())

    def collect(self) -> list[float]:
        """All losses so far, brought over from the device."""
        if self._waiting:
            self.losses += torch.stack(self._waiting).cpu().tolist()
            self._waiting.clear()
        return self.losses

    def settled(self) -> bool:
        """Whether training should end now."""
        ratio = variance_ratio(self.collect(), self.window)
        if ratio >= self.threshold:
            return False
        self.reason = (
            f"The loss on fixed draws settled: its variance over {self.window} steps is "
            f"{ratio:.3f} of the whole, below {self.threshold:g} (DVAR)."
        )
        return True
