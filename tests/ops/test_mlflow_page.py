"""MLflow's own page of a run, in a browser: what a user looks for is at its top."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cli.ui import experiment_address, run_address
from coti.settings import RunSettings, TrainSettings
from ops.run_file import check_run_file
from ops.tracking.lineage import compared_by, params_of
from ops.tracking.metric_groups import in_group
from ops.tracking.mlflow_record import RUN_FILE, RunRecord
from ops.tracking.tracker import Tracker
from tools.screenshots import browser_page, chromium, serving

SETTINGS = RunSettings(
    concept="boot",
    seeds="seeds",
    pool="pool",
    train=TrainSettings(max_steps=9, learning_rates=(0.1, 0.01)),
)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """Three cycles' images and a metric, of settings of which few are not the defaults."""
    config = asdict(SETTINGS)
    found = RunRecord.open(
        Tracker(f"sqlite:///{tmp_path}/mlflow.db", artifact_store=str(tmp_path)),
        experiment="boot",
        run_name="run",
        run_key="key",
        timestamp=1_700_000_000_000,
        params=compared_by(config),
        tags={},
    )
    found.log_config(config)
    for cycle in range(3):
        found.log_metrics(found.parent_id, in_group("best", {"phi": 1.0}), cycle)
        image = np.full((8, 8, 3), 99 * cycle, np.uint8)
        found.log_image(found.parent_id, "samples", image, cycle)
    return found


def test_params_are_what_differs_and_the_file_is_all(record: RunRecord, tmp_path: Path) -> None:
    """The file is a run file of the same settings."""
    assert params_of(asdict(SETTINGS)).keys() == {
        *("concept", "seeds", "pool", "strategy", "seed"),
        *("train.max_steps", "train.learning_rates"),
    }
    path = record.client.download_artifacts(record.parent_id, RUN_FILE, str(tmp_path))
    assert check_run_file(Path(path)) == SETTINGS


def test_a_failure_is_recorded_until_the_run_ends_well(record: RunRecord) -> None:
    """The sentence is what the page begins with; a row of a sweep may be run again."""
    below = record.cycle_run(0, {})
    record.fail("pool: there is no folder.")
    runs = [record.client.get_run(each) for each in (record.parent_id, below)]
    assert [each.info.status for each in runs] == ["FAILED", "FAILED"]
    assert runs[0].data.tags["coti.failure"] == "pool: there is no folder."
    assert runs[0].data.tags["mlflow.note.content"] == "**Failed.** pool: there is no folder."
    record.describe(record.parent_id, "Cycle 2 is kept.", "an-earlier-run")
    record.finish(record.parent_id)
    tags = record.client.get_run(record.parent_id).data.tags
    assert "coti.failure" not in tags
    assert tags["coti.cached_from"] == "an-earlier-run"
    assert tags["mlflow.note.content"].endswith("the run `an-earlier-run` computed it.")


@pytest.mark.slow
def test_the_slider_over_the_cycles_is_seen_and_moves(record: RunRecord, tmp_path: Path) -> None:
    """Under the address that `coti ui` prints, without scrolling; so are an experiment's runs."""
    if chromium() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    words = ["mlflow", "ui", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    with (
        serving(
            lambda host, port: [
                *(sys.executable, "-m", *words, "--workers", "1"),
                *("--host", host, "--port", str(port)),
            ],
            "/health",
        ) as address,
        browser_page(1280, 900) as page,
    ):
        page.goto(address + run_address(record.experiment_id, record.parent_id))
        slider = page.get_by_role("slider")
        slider.wait_for()
        image = page.locator("img[src*='samples%2Bstep%2B0%2B']")
        image.wait_for()
        under = slider.bounding_box()["y"]
        assert under < 900
        # What MLflow writes above an image pushes it out of its frame, behind the slider.
        assert image.bounding_box()["y"] + image.bounding_box()["height"] <= under
        for cycle in range(3):
            page.locator(f"img[src*='samples%2Bstep%2B{cycle}%2B']").wait_for()
            slider.press("ArrowRight")
        page.goto(address + experiment_address(record.experiment_id))
        page.get_by_role("link", name="run", exact=True).wait_for()
