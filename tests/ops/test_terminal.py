"""What a run tells the terminal."""

from __future__ import annotations

import pytest

from coti.loop.record import CycleRecord
from coti.metrics.table import METRICS
from ops.terminal import announce_cycle, announce_pool


def test_a_line_a_cycle(capsys: pytest.CaptureFixture[str]) -> None:
    """The last cycle's number and size, the headline metrics that there are, how long it takes."""
    first, last = (CycleRecord(n, 5, 4, 10 + n, 1, 100, 41.6) for n in (0, 3))
    steering = next(metric for metric in METRICS.values() if metric.steers and metric.headline)
    row = {**last.row(), steering.name: 7.25}
    judged = {"references": 64, "seconds": 1.0, "metrics": {"fd_judge": 0.25, "kid_low": 0.1}}
    rows, going = [first.row(), row], {"go_on": True, "kept_cycle": 0}
    announce_cycle(rows, judged, going, cycles=5)
    announce_cycle(rows, judged, {**going, "go_on": False}, cycles=5)
    line, last_line = capsys.readouterr().out.splitlines()
    assert line.startswith("Cycle 3 of 5  13 images in X_T, 5 left in the pool, 42 s: ")
    assert line.removesuffix("; kept so far 0, at most some 83 s to go") == last_line
    assert f"{steering.label} {steering.format(7.25)}" in line
    assert "0.250" in line
    assert METRICS["r_precision"].label not in line


def test_what_a_pool_was(capsys: pytest.CaptureFixture[str]) -> None:
    """What it was taken for, its sum, and beneath it what was odd, its drift, what will lack."""
    counts = {"accepted": 5, "quarantined": 2, "truncated": 2}
    source = {"source": "my/pool", "kind": "folder", "notes": ["a.csv: read as GBK"]}
    drift = ["mean width was 640 and is 64"]
    said = {"counts": counts, "drift": drift}
    announce_pool(source, said, "1 loses much", ["no FID: too few references"])
    first, *others = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=1)[1] == (
        "my/pool (folder): 7 inputs = 5 accepted + 2 quarantined (truncated 2)"
    )
    assert [line.strip() for line in others] == [
        *("a.csv: read as GBK", *drift, "1 loses much", "no FID: too few references")
    ]
