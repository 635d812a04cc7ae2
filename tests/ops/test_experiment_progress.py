from __future__ import annotations

from dataclasses import replace

import pytest

from coti.experiments.time_estimate import Work, work_of
from coti.metrics.table import METRICS, Metric
from coti.settings import (
    ControllerSettings,
    GenerationSettings,
    MeasurementSettings,
    RunSettings,
    TrainSettings,
)
from ops.experiment_file import check_experiment_file, planned_runs
from ops.experiment_progress import Progress, facts_of
from ops.stack.locations import ROOT

ROW = {
    "fd_judge": 0.5,
    "r_precision": 0.9,
    "selection_precision": None,
    "image_steps": 9600,
    "seconds": 61.0,
}


def test_the_work_of_a_run_counts_what_it_trains_and_generates() -> None:
    """Two cycles of 4 steps of 2 images; φ twice a cycle; the ends and the looks."""
    run = RunSettings(
        train=TrainSettings(max_steps=4, batch_size=2, phi_every=2),
        controller=ControllerSettings(max_cycles=1),
        generation=GenerationSettings(phi_images=3, cycle_images=10, sample_images=1),
        measurement=MeasurementSettings(images=20, edit_images=0),
    )
    assert work_of(run) == Work(16, 4 * 3 + 2 * 11 + 21)
    assert work_of(replace(run, strategy="random")) == Work(16, 4 * 3 + 11 + 21)
    assert work_of(replace(run, strategy="none")) == Work(0, 20 + 1)


def test_runs_of_the_cache_say_nothing_of_the_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that goes on: half of its work is there at once, then a run takes 100 seconds; as
    many image-steps as it had are left in the same time, whatever came from the cache."""
    now = 0.0
    monkeypatch.setattr("ops.experiment_progress.time.monotonic", lambda: now)
    config = check_experiment_file(ROOT / "configs/experiments/figure4.yaml")
    runs = planned_runs(config)
    assert len(runs) == 6
    progress = Progress(config, runs)
    for run in runs[:3]:
        progress.show(run, ROW, cached=True)
    assert "min left" not in capsys.readouterr().out
    now = 100.0
    progress.show(runs[3], ROW)
    assert capsys.readouterr().out.endswith("61 s; about 3 min left\n")


def test_a_line_a_run_says_what_came_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number and metrics, trained or not; the time that is left once the speed is known."""
    config = check_experiment_file(ROOT / "configs/experiments/table1.yaml")
    runs = planned_runs(config)
    progress = Progress(config, runs)
    progress.show(runs[0], ROW)
    printed = capsys.readouterr().out
    assert printed.startswith("[1/36] trouser, no TI, seed 0: fd_judge 0.500, R-precision 0.900")
    assert "selection" not in printed
    assert "nan" not in printed
    monkeypatch.setitem(METRICS, "mine", Metric("mine", "my own", "a", digits=1, headline=True))
    progress.show(runs[0], {**ROW, "mine": 0.25})
    assert "R-precision 0.900, my own 0.2, 9,600 image-steps" in capsys.readouterr().out
    assert "min left" not in printed
    for run in runs[2:20]:
        progress.show(run, ROW)
    assert "min left" in capsys.readouterr().out.splitlines()[-1]
    for run in runs[20:35]:
        progress.show(run, ROW, cached=True)
    assert ", from the cache" in capsys.readouterr().out
    assert any("3,360 image-steps" in fact for fact in facts_of(config, runs))
