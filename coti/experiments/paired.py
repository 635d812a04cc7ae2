"""Paired differences with intervals that know which runs hang together, and Holm's correction.

Runs of one concept are alike, and so are runs of one concept and seed. Intervals are therefore of a
bootstrap that draws concepts, and seeds within each, with replacement; its standard error, or that
of the concepts' means where it is larger, is taken with Student's t of one degree of freedom less
than there are concepts: few concepts make a bootstrap's own too small, and its percentiles too
narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Estimate", "Pair", "estimate", "estimate_share", "holm"]

Pair = tuple[str, int]
"""A concept and a seed: what is paired."""
Floats = npt.NDArray[np.float64]
DRAWS = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, or a ratio of means, over concepts and seeds."""

    value: float
    error: float
    """Standard error; NaN with fewer than two concepts."""
    concepts: int
    pairs: int

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self._quantile((1 + LEVEL) / 2) * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self._quantile((1 + LEVEL) / 2) * self.error

    def p(self, null: float = 0.0, side: Literal["two", "greater"] = "two") -> float:
        """How likely a value as far from ``null`` (or, one-sided, above it) is by chance."""
        if math.isnan(self.error):
            return math.nan
        from scipy import stats

        away = self.value - null
        if self.error == 0:
            return 0.0 if (away > 0 or (side == "two" and away)) else 1.0
        t = away / self.error
        if side == "greater":
            return float(stats.t.sf(t, self.concepts - 1))
        return float(2 * stats.t.sf(abs(t), self.concepts - 1))

    def detectable(self, level: float, power: float = 0.8) -> float:
        """The least true difference that a two-sided test at ``level`` finds with ``power``."""
        return (self._quantile(1 - level / 2) + self._quantile(power)) * self.error

    def _quantile(self, share: float) -> float:
        if self.concepts < 2:
            return math.nan
        from scipy import stats

        return float(stats.t.ppf(share, self.concepts - 1))


def estimate(values: Mapping[Pair, float]) -> Estimate:
    """The mean over concepts of their means over seeds; NaN for no values.

    >>> found = estimate({("bag", 0): 1.0, ("bag", 1): 3.0, ("coat", 0): 4.0})
    >>> found.value, found.concepts, found.pairs
    (3.0, 2, 3)
    """
    keys = tuple(sorted(values))
    if not keys:
        return Estimate(math.nan, math.nan, 0, 0)
    weights = _weights(keys)
    column = np.array([values[key] for key in keys], dtype=np.float64)
    found = _estimate(float(weights[0] @ column), weights[1:] @ column, keys)
    if found.concepts < 2:
        return found
    names = sorted({concept for concept, _ in keys})
    means = [
        np.mean([v for (concept, _), v in values.items() if concept == name]) for name in names
    ]
    of_means = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    return replace(found, error=max(found.error, of_means))


def estimate_share(part: Mapping[Pair, float], whole: Mapping[Pair, float]) -> Estimate:
    """The mean of ``part`` over the mean of ``whole``, of the pairs that both have."""
    keys = tuple(sorted(part.keys() & whole.keys()))
    if not keys:
        return Estimate(math.nan, math.nan, 0, 0)
    weights = _weights(keys)
    above, below = (
        weights @ np.array([each[key] for key in keys], dtype=np.float64) for each in (part, whole)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = above / below
    return _estimate(float(shares[0]), shares[1:], keys)


def _estimate(value: float, draws: Floats, keys: Sequence[Pair]) -> Estimate:
    concepts = len({concept for concept, _ in keys})
    error = float(np.std(draws)) if concepts > 1 else math.nan
    return Estimate(value, error, concepts, len(keys))


@lru_cache(maxsize=64)
def _weights(keys: tuple[Pair, ...]) -> Floats:
    """Weights of the values [1 + draws, n]: first of the mean, then of each draw's."""
    places: dict[str, list[int]] = {}
    for place, (concept, _) in enumerate(keys):
        places.setdefault(concept, []).append(place)
    groups = [np.array(group) for group in places.values()]
    rng = np.random.default_rng(0)
    weights = np.zeros((1 + DRAWS, len(keys)))
    for group in groups:
        weights[0, group] = 1 / (len(groups) * len(group))
    chosen = rng.integers(len(groups), size=(DRAWS, len(groups)))
    for draw in range(DRAWS):
        for number in chosen[draw]:
            group = groups[number]
            seeds = group[rng.integers(len(group), size=len(group))]
            np.add.at(weights[1 + draw], seeds, 1 / (len(groups) * len(group)))
    return weights


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction (1979) for several tests; a NaN stays one and still counts as a test.

    >>> [round(each, 3) for each in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    order = sorted(range(len(p)), key=lambda i: (math.isnan(p[i]), p[i]))
    found, least = [math.nan] * len(p), 0.0
    for rank, place in enumerate(order):
        if not math.isnan(p[place]):
            least = max(least, min(1.0, (len(p) - rank) * p[place]))
            found[place] = least
    return found
