"""What a run tells the terminal."""

from __future__ import annotations

import pytest

from coti.loop.record import CycleRecord
from coti.metrics.table import METRICS
from ops.terminal import announce_cycle


def test_a_line_a_cycle(capsys: pytest.CaptureFixture[str]) -> None:
    """The last cycle's number and size, and the headline metrics that there are, no other."""
    first, last = (CycleRecord(n, 5, 4, 10 + n, 1, 100, 41.6) for n in (0, 3))
    steering = next(metric for metric in METRICS.values() if metric.steers and metric.headline)
    row = {**last.row(), steering.name: 7.25}
    verdict = {"references": 64, "seconds": 1.0, "metrics": {"fd_judge": 0.25, "kid_low": 0.1}}
    announce_cycle(history=[first.row(), row], verdict=verdict)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Cycle 3     13 images in X_T, 42 s: ")
    assert f"{steering.label} {steering.format(7.25)}" in line
    assert "0.250" in line
    assert METRICS["r_precision"].label not in line
