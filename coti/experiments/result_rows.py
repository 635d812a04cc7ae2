"""A run's record, and means over seeds and concepts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from coti.core.image_set import ImageSet
from coti.metrics.table import METRICS

__all__ = ["COLUMNS", "FinishedRun", "Summary", "number", "samples_of", "summarize"]

COLUMNS = (
    "concept",
    "strategy",
    "seed",
    *(metric.name for metric in METRICS.values() if not metric.steers),
    "images",
    "image_steps",
    "image_step_cap",
    "seconds",
)
"""Columns of a table's CSV, a row a run."""


@dataclass(frozen=True)
class FinishedRun:
    """One finished run."""

    concept: str
    strategy: str
    """The row's name in the table, not the setting."""
    seed: int
    row: dict[str, Any]
    """Metrics, of :func:`coti.experiments.experiment_run.run_experiment`."""
    cycles: list[dict[str, Any]] = field(default_factory=list)
    samples: ImageSet | None = None
    real: ImageSet | None = None
    """Real images of the concept: the seeds."""

    def value(self, name: str) -> float:
        """A metric; NaN where it is not defined."""
        return number(self.row.get(name))


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation over seeds of one metric."""

    mean: float
    std: float
    """Of the sample (n − 1); NaN for one seed."""
    count: int


def number(value: Any) -> float:
    """A float; NaN for None."""
    return math.nan if value is None else float(value)


def summarize(
    runs: Sequence[FinishedRun], strategy: str, metric: str, concept: str | None = None
) -> Summary:
    """A metric of a strategy over its seeds, of one concept or averaged over all of them.

    Over concepts: of each seed the mean of the concepts that have a value; of these means the mean
    and the deviation.
    """
    found: dict[int, list[float]] = {}
    for run in runs:
        if run.strategy == strategy and concept in (None, run.concept):
            value = run.value(metric)
            if not math.isnan(value):
                found.setdefault(run.seed, []).append(value)
    means = torch.tensor([sum(v) / len(v) for v in found.values()], dtype=torch.float64)
    if len(means) == 0:
        return Summary(math.nan, math.nan, 0)
    std = float(means.std()) if len(means) > 1 else math.nan
    return Summary(float(means.mean()), std, len(means))


def samples_of(run: FinishedRun, part: str) -> torch.Tensor:
    """A run's samples: ``final``, or ``c0``, ``c1`` … for those of a cycle; uint8 [n, 3, h, w]."""
    if run.samples is None:
        return torch.empty(0, 3, 1, 1, dtype=torch.uint8)
    rows = [i for i, name in enumerate(run.samples.names) if name.startswith(f"{part}-")]
    return run.samples.images[rows]
