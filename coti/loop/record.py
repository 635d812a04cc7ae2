"""A cycle in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from coti.loop.training_set import TrainingSet
from coti.metrics.table import METRICS, known

__all__ = ["CYCLE_COLUMNS", "CycleRecord", "record_of", "with_judged"]


@dataclass(frozen=True)
class CycleRecord:
    """What a cycle was, and its metrics by name."""

    cycle: int
    """0 is the cycle that trains on the seeds alone."""
    pool_left: int
    """Candidates that are left after this cycle's selection."""
    picked: int
    """Images this cycle added."""
    train_size: int
    """|X_T| in this cycle, seeds included."""
    lr_stage: int
    """Stage of the schedule at the end of the cycle; 1 is r_1."""
    image_steps: int
    """Images that went through the UNet for a gradient, up to the end of this cycle."""
    seconds: float
    """Of training, generating and scoring what was generated. The pool's scores and the selection
    are not in it: they may come from the cache of another run."""
    judge_seconds: float = 0.0
    generated: int = 0
    """|X_TI|."""
    references: int = 0
    """Held-out references that the judge compared with."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of :data:`coti.metrics.table.METRICS` by name; what was not measured is not there."""

    def row(self) -> dict[str, Any]:
        """One flat mapping, as JSON, tables and CSV take it; metrics that are missing are None."""
        values = asdict(self)
        metrics = values.pop("metrics")
        return values | {m.name: metrics.get(m.name) for m in METRICS.values() if m.cycle}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> CycleRecord:
        """The record of a :meth:`row`."""
        own = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        return cls(**own, metrics=known({k: row[k] for k in METRICS if k in row}))


CYCLE_COLUMNS = tuple(CycleRecord(0, 0, 0, 0, 0, 0, 0.0).row())
"""The columns of ``cycles.csv``, in order."""


def record_of(
    *,
    cycle: int,
    before: Sequence[CycleRecord],  # of the cycles before it
    training_set: TrainingSet,  # X_T
    accepted: Sequence[str],  # ids of the pool's accepted images
    generated: int,  # |X_TI|
    training: dict[str, Any],  # the summary of coti.loop.train_cycle.train_cycle
    metrics: dict[str, float],  # those that may steer
    scoring: float,  # seconds of coti.loop.score_generations.score_generations
) -> CycleRecord:
    """A cycle's record from what its stations gave."""
    members = set(training_set.ids)
    return CycleRecord(
        cycle=cycle,
        pool_left=sum(name not in members for name in accepted),
        picked=len(training_set.added_in(cycle)),
        train_size=len(training_set),
        lr_stage=int(training["lr_stage"]),
        image_steps=(before[-1].image_steps if before else 0) + int(training["image_steps"]),
        seconds=float(training["seconds"]) + scoring,
        generated=generated,
        metrics=metrics,
    )


def with_judged(
    history: Sequence[CycleRecord], judged: Sequence[Mapping[str, Any]]
) -> list[CycleRecord]:
    """The controller's records with what the judge said of each cycle, for readers alone.

    ``judged`` are of :func:`coti.loop.judge_cycle.judge_cycle`, in order; more than there are
    cycles where a graph was unrolled beforehand.
    """
    return [
        replace(
            record,
            references=int(said["references"]),
            metrics={**record.metrics, **known(said["metrics"])},
            judge_seconds=float(said["seconds"]),
        )
        for record, said in zip(history, judged, strict=False)
    ]
