"""A cycle's record, from what its stations gave."""

from __future__ import annotations

from coti.loop.record import CycleRecord, record_of, with_judged
from coti.loop.training_set import TrainingSet


def test_a_cycles_seconds_are_its_own_and_the_judges_apart() -> None:
    """By one rule, for whoever runs the stations: nothing is counted twice, or with the judge."""
    record = record_of(
        cycle=1,
        before=[CycleRecord(0, 3, 0, 1, 1, 8, 1.0)],
        training_set=TrainingSet(("s",), ("a",), (1,)),
        accepted=["a", "b"],
        generated=4,
        training={"lr_stage": 2, "image_steps": 8, "seconds": 5.0},
        metrics={"phi": 9.0},
        scoring=0.5,
    )
    said = {"metrics": {"fd_judge": 1.0}, "references": 7, "seconds": 30.0}
    (judged,) = with_judged([record], [said])
    assert (judged.seconds, judged.judge_seconds) == (5.5, 30.0)
    assert (judged.pool_left, judged.picked, judged.image_steps) == (1, 1, 16)
    assert judged.metrics == {"phi": 9.0, "fd_judge": 1.0}
