"""An experiment in small: real models, real ZenML and MLflow, few steps."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from coti.experiments.result_rows import COLUMNS
from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FILE = Path("configs/experiments/mini/table1.yaml")

RUNS = """
import json, mlflow
from zenml.client import Client
uri = Client().active_stack.experiment_tracker.get_tracking_uri()
client = mlflow.MlflowClient(tracking_uri=uri)
experiment = client.get_experiment_by_name("table1")
runs = client.search_runs([experiment.experiment_id])
print(json.dumps([[r.data.params["row"], sorted(r.data.metrics)] for r in runs]))
"""


def test_a_sweep_goes_on_with_the_runs_that_are_left(workspace: Workspace) -> None:
    """Killed inside its second run, run again by two processes: the first comes from the cache, and
    it is said; the others are computed. The cost comes first, then a line a run; CSV, page and
    images are written, and each run is one of MLflow's experiment, once.
    """
    content = yaml.safe_load((workspace.root / FILE).read_text(encoding="utf-8"))
    config = content["parameters"]["config"]
    again = workspace.root / "again.yaml"

    def write(**changes: object) -> None:
        changed = {"parameters": {"config": {**config, **changes}}}
        again.write_text(yaml.safe_dump(changed, sort_keys=False), encoding="utf-8")

    write(parallel=1)
    assert workspace.run_and_kill(
        again, lambda log: "Step `run_experiment_2` has started" in log, pipeline="coti_experiments"
    )
    # Where a report goes and what is promoted are no part of a run.
    write(run={"output": "elsewhere", "promotion": {"min_samples": 7}})
    done = workspace.run(again, pipeline="coti_experiments")
    printed = done.stdout + done.stderr
    assert "table1: 3 runs" in printed
    assert "minutes" in printed
    lines = sorted(re.findall(r"^\[\d/3\].*", printed, re.M))
    assert ["from the cache" in line for line in lines] == [True, False, False]

    folder = workspace.root / "outputs" / "experiments" / "mini"
    with (folder / "table1.csv").open(encoding="utf-8", newline="") as table:
        found = list(csv.DictReader(table))
    assert tuple(found[0]) == COLUMNS
    assert [row["strategy"] for row in found] == list(config["rows"])
    assert all(float(row["fd_judge"]) > 0 for row in found)
    assert (folder / "table1.md").is_file()
    assert list(folder.glob("table1*.png"))

    tracked = workspace.query(RUNS)
    assert sorted(row for row, _ in tracked) == sorted(config["rows"]), json.dumps(tracked)
    assert all("best/fd_judge" in metrics for _, metrics in tracked)
    # 96 images of 320 features.
    assert not any("best/fd_efficientnet" in metrics for _, metrics in tracked)


def test_a_wrong_experiment_ends_in_one_sentence(workspace: Workspace) -> None:
    """Exit code 1, no traceback."""
    path = workspace.root / "wrong.yaml"
    path.write_text("parameters: {config: {name: n, title: t, repord: x}}", encoding="utf-8")
    done = workspace.command("zenml", "pipeline", "run", "coti_experiments", "-c", str(path))
    assert done.returncode == 1
    assert "repord" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
