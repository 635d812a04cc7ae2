"""The paper's scalar formulas: γ, the selection score S_int and the indicator φ.

Everything lives on one scale, 0 (worst) to 10 (best). Equation numbers are those of
Yang et al., "Controllable Textual Inversion for Personalized Text-to-Image Generation" (2023).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional

from coti.core.errors import MetricError

__all__ = [
    "TOP",
    "PhiValue",
    "gamma",
    "indicator",
    "intelligent_score",
    "score_weights",
    "smooth_clamp",
]

TOP = 10.0
"""The upper end of every score."""


class PhiValue(NamedTuple):
    """One evaluation of φ (Eq. 12) and of what it is made of (Eq. 9, 10), each in [0, 10]."""

    phi: float
    gamma_aes: float
    gamma_con: float


def gamma(scores: torch.Tensor) -> float:
    """γ_aes or γ_con (Eq. 9, 10): the mean S_aes or S_con, [n], over the generated images X_TI.

    Raises:
        MetricError: no scores, or one that is not in [0, 10].

    >>> gamma(torch.tensor([2.0, 4.0]))
    3.0
    """
    if scores.ndim != 1 or scores.numel() == 0:
        raise MetricError(
            f"scores must be one-dimensional with at least one value, got {list(scores.shape)}."
        )
    mean = float(scores.double().mean())
    low, high = float(scores.min()), float(scores.max())
    if not (low >= 0.0 and high <= TOP):
        raise MetricError(f"scores must lie in [0, 10], got values from {low} to {high}.")
    return mean


def score_weights(gamma_aes: float, gamma_con: float, floor: float = 0.0) -> tuple[float, float]:
    """Weights of S_aes and S_con in Eq. 11: ``1 − γ/10``, but never less than ``floor``.

    As printed (``floor`` 0) a score that the generations already satisfy loses all its say, and
    good-looking look-alikes flood the next batch; a floor keeps both conditions in force.

    >>> score_weights(9.0, 5.0, floor=0.25)
    (0.25, 0.5)
    """
    return max(floor, 1.0 - gamma_aes / TOP), max(floor, 1.0 - gamma_con / TOP)


def intelligent_score(
    s_aes: torch.Tensor,  # [n], 0 to 10
    s_con: torch.Tensor,  # [n], 0 to 10
    gamma_aes: float,  # of the last generations, 0 to 10
    gamma_con: float,
    floor: float = 0.0,  # least weight of either score; 0 is the paper
) -> torch.Tensor:
    """S_int (Eq. 11): ``(1 − γ_aes/10)·S_aes + (1 − γ_con/10)·S_con``, [n], 0 to 20."""
    weight_aes, weight_con = score_weights(gamma_aes, gamma_con, floor)
    return weight_aes * s_aes + weight_con * s_con


def indicator(gamma_aes: float, gamma_con: float) -> float:
    """φ (Eq. 12): ``10·sin(π/20·γ_aes)·sin(π/20·γ_con)``, 0 to 10.

    The sines make both γ count where they are low and forgive the last tenth where they are high.

    >>> indicator(10.0, 10.0)
    10.0
    """
    return TOP * math.sin(math.pi / 20 * gamma_aes) * math.sin(math.pi / 20 * gamma_con)


def smooth_clamp(values: torch.Tensor) -> torch.Tensor:
    """Bring scores into [0, 10] without making the best ones equal.

    The identity in the middle of the scale (within 0.01 from 2 to 8), it bends near the ends
    and rises everywhere, so that the order of two good images survives where a hard clamp would
    call both 10. A value of 10 becomes 9.65, one of 0 becomes 0.35.
    """
    sharpness = 2.0  # of the bends; higher is closer to the hard clamp
    above = functional.softplus(values, sharpness)
    return (above - functional.softplus(values - TOP, sharpness)).clamp(0.0, TOP)
