"""The runs of a grid over regimes: rows of a CSV that is the grid's memory, too."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coti.core.errors import ConfigError
from coti.core.whole_files import whole_file
from coti.experiments.paired import Pair
from coti.experiments.result_rows import number
from coti.metrics.table import METRICS, Metric

__all__ = [
    "COLUMNS",
    "COSTS",
    "MEASURED",
    "OF_TRAINING_SET",
    "RegimeRun",
    "metric_of",
    "read_runs",
    "values_of",
    "write_runs",
]

COSTS = ("images", "image_steps", "seconds")
MEASURED = (
    "fd_ssl",
    "kid_ssl",
    "precision",
    "recall",
    "density",
    "coverage",
    "fd_judge",
    "r_precision",
    "fd_efficientnet",
    "selection_precision",
    "xt_fd_ssl",
    "xt_coverage",
    *COSTS,
)
"""Columns of numbers."""
OF_TRAINING_SET = ("selection_precision", "xt_fd_ssl", "xt_coverage")
"""Those of X_T itself."""
_IDENTITY = ("concept", "regime", "row", "seed", "pool_seed", "trained")
COLUMNS = (*_IDENTITY, *MEASURED, "settings", "code")
"""Of the CSV, a row a run."""


@dataclass(frozen=True)
class RegimeRun:
    """One finished run."""

    concept: str
    regime: str
    row: str
    """The way to select, by its name in the table."""
    seed: int
    pool_seed: int
    trained: bool
    """Or X_T alone was measured."""
    values: dict[str, float] = field(default_factory=dict)
    """By column; what is not measured is missing."""
    settings: str = ""
    """Hash of all that the run was asked for: settings, pool, seeds."""
    code: str = ""
    """Hash of the code and the models that it was computed by."""

    @property
    def place(self) -> tuple[str, str, str, int]:
        """Which run of the grid it is."""
        return self.concept, self.regime, self.row, self.seed


def read_runs(path: Path) -> list[RegimeRun]:
    """The runs of a CSV, in its order; none where there is no such file.

    Raises:
        ConfigError: it is no such CSV.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return [_run(row) for row in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ConfigError(
                f"{path} holds no runs of a grid ({error!r}): move it away, or take it from the "
                "last commit."
            ) from error


def _run(row: dict[str, str]) -> RegimeRun:
    return RegimeRun(
        concept=row["concept"],
        regime=row["regime"],
        row=row["row"],
        seed=int(row["seed"]),
        pool_seed=int(row["pool_seed"]),
        trained=row["trained"] == "yes",
        values={name: float(row[name]) for name in MEASURED if row.get(name)},
        settings=row["settings"],
        code=row["code"],
    )


def write_runs(path: Path, runs: Iterable[RegimeRun]) -> None:
    """Write the CSV, whole or not at all."""
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for run in runs:
            about: dict[str, Any] = {
                **{name: getattr(run, name) for name in (*_IDENTITY, "settings", "code")},
                "trained": "yes" if run.trained else "no",
                **{k: f"{v:.6g}" for k, v in run.values.items() if math.isfinite(v)},
            }
            writer.writerow([about.get(name, "") for name in COLUMNS])


def values_of(runs: Sequence[RegimeRun], regime: str, row: str, metric: str) -> dict[Pair, float]:
    """A metric of a row in a regime by concept and seed; runs without a value are left out."""
    found = {
        (run.concept, run.seed): number(run.values.get(metric))
        for run in runs
        if run.regime == regime and run.row == row
    }
    return {pair: value for pair, value in found.items() if math.isfinite(value)}


def metric_of(name: str) -> Metric:
    """A column's metric; for a column that is none, one without a direction."""
    digits = 0 if name in COSTS else 3
    return METRICS.get(name) or Metric(name, name, "", digits=digits)
