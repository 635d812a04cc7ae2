"""Seconds of one unit of each kind of work, from what was seen of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from ops.rehearsal.watch import Sample

__all__ = ["Rate", "rates_of"]

_LEAST = 0.1
"""Half the range of a rate, as a part of it, however alike its samples are: machines have moods."""


@dataclass(frozen=True)
class Rate:
    """What one unit takes."""

    seconds: float
    spread: float
    """Half its range, as a part of it, at least 0.1."""
    batch: int
    """How many were done at once where it was seen."""
    samples: int


def rates_of(runs: Iterable[Any]) -> dict[str, Rate]:
    """By kind, from all runs of a rehearsal in their order.

    Only the largest batches count, which most of a run's are; the first of a kind is left out where
    there are others, since it warms up.
    """
    seen: dict[str, list[Sample]] = defaultdict(list)
    for run in runs:
        for step in run.steps:
            for kind, samples in step.work.items():
                seen[kind] += samples
    return {kind: _rate(samples) for kind, samples in seen.items()}


def _rate(samples: list[Sample]) -> Rate:
    later = samples[1:] or samples
    batch = max(each.amount for each in later)
    full = [each.seconds / each.amount for each in later if each.amount == batch]
    mean = median(full)
    spread = 0.3 if len(full) < 3 else _LEAST
    if len(full) >= 4 and mean:
        low, _, _, _, _, _, _, high = quantiles(full, n=9)
        # Of their middle, not of one sample.
        spread = max(_LEAST, min(1.0, (high - low) / 2 / mean / len(full) ** 0.5))
    return Rate(mean, spread, batch, len(full))
