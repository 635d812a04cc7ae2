"""COTI against TI: ratios, points and gaps, computed for us as the paper's are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coti.experiments.result_rows import FinishedRun, summarize

__all__ = ["COTI", "FULL", "ORACLE", "PAPER", "RANDOM", "Comparison", "compare"]

COTI, RANDOM, FULL, ORACLE = "COTI", "TI (RAND)", "TI (FULL)", "oracle"
"""Rows of Table 1: the method, random pool images, the whole pool, clean images alone."""

PAPER = {
    "fd_of_random": 0.709,
    "fd_of_full": 0.827,
    "points_over_random": 20.3,
    "points_over_full": 18.4,
    "better_concepts": 8,
    "concepts": 8,
}
"""Yang et al. 2023, Table 1, over its eight concepts: COTI's mean FID as a share of TI (RAND)'s and
TI (FULL)'s, R-precision points over each, concepts on which FID is better than both."""


@dataclass(frozen=True)
class Comparison:
    """COTI against RAND, FULL and the oracle; NaN where a row is missing."""

    fd_of_random: float
    """Mean distance over the mean of TI (RAND)."""
    fd_of_full: float
    points_over_random: float
    """R-precision, in points of 100."""
    points_over_full: float
    better_concepts: int
    """Concepts with a lower mean distance than both RAND and FULL."""
    concepts: int
    fd_gap_closed: float
    """Share of the way from RAND to the oracle, of the means over concepts; above 1: beats it."""
    r_gap_closed: float
    steps_to_full: float
    """Mean over concepts and seeds of the image-steps after which the method reached FULL's final
    R-precision, over those that FULL used; infinite where it never did."""


def compare(runs: Sequence[FinishedRun], fd: str = "fd_judge") -> Comparison:
    """COTI against Table 1's other rows, on ``fd_judge`` or ``fd_efficientnet``."""

    def mean(strategy: str, metric: str, concept: str | None = None) -> float:
        return summarize(runs, strategy, metric, concept).mean

    rows = (COTI, RANDOM, FULL, ORACLE)
    concepts = list(dict.fromkeys(run.concept for run in runs))
    better = sum(
        mean(COTI, fd, name) < min(mean(RANDOM, fd, name), mean(FULL, fd, name))
        for name in concepts
    )
    own, rand, whole, top = (mean(name, fd) for name in rows)
    r_own, r_rand, r_whole, r_top = (mean(name, "r_precision") for name in rows)
    return Comparison(
        fd_of_random=_share(own, rand),
        fd_of_full=_share(own, whole),
        points_over_random=100 * (r_own - r_rand),
        points_over_full=100 * (r_own - r_whole),
        better_concepts=better,
        concepts=len(concepts),
        fd_gap_closed=_share(rand - own, rand - top),
        r_gap_closed=_share(r_own - r_rand, r_top - r_rand),
        steps_to_full=_steps_to_reach(runs, COTI, FULL),
    )


def agreeing_concepts(
    runs: Sequence[FinishedRun], first: str, second: str, strategies: Sequence[str]
) -> int:
    """Concepts on which two metrics put the strategies in the same order."""

    def order(metric: str, concept: str) -> list[str]:
        means = {name: summarize(runs, name, metric, concept).mean for name in strategies}
        return sorted(means, key=lambda name: means[name])

    concepts = dict.fromkeys(run.concept for run in runs)
    return sum(order(first, name) == order(second, name) for name in concepts)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _steps_to_reach(runs: Sequence[FinishedRun], method: str, full: str) -> float:
    shares = []
    whole = {(c.concept, c.seed): c for c in runs if c.strategy == full}
    for run in runs:
        other = whole.get((run.concept, run.seed))
        if run.strategy != method or other is None:
            continue
        target = other.value("r_precision")
        reached = [float(row["image_steps"]) for row in run.cycles if row["r_precision"] >= target]
        shares.append(_share(min(reached, default=math.inf), other.value("image_steps")))
    return sum(shares) / len(shares) if shares else math.nan
