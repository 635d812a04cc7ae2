"""The static twin on the local orchestrator: the dynamic pipeline's embedding, bit for bit."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from tests.e2e.conftest import Workspace, make_workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# The controller stops after cycle 1; the twin has two cycles more.
STOPS_EARLY: dict[str, Any] = {
    "controller": {"max_cycles": 3, "patience": 1, "min_improvement": 10.0},
}


def _run(space: Workspace, pipeline: str, name: str, **changes: Any) -> tuple[bytes, list[Any]]:
    config = space.config(name, **changes)
    done = space.command("zenml", "pipeline", "run", pipeline, "-c", str(config))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = space.latest()
    with (folder / "cycles.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]
    return (folder / "learned_embeds.safetensors").read_bytes(), rows


def test_the_twin_learns_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Same bytes, same record, with the controller's stop passing through; one MLflow parent."""
    dynamic = make_workspace(tmp_path_factory.mktemp("dynamic"))
    expected, rows = _run(dynamic, "coti_concept", "run", **STOPS_EARLY)
    # A state of its own: the twin may not take the dynamic pipeline's results from the cache.
    twin = make_workspace(tmp_path_factory.mktemp("twin"))
    found, same = _run(twin, "coti_concept_static", "run", **STOPS_EARLY)
    assert found == expected
    assert same == rows
    assert len(rows) == 2
    assert sum(name.startswith("train_cycle") for name in twin.cached_steps()) == 4
    runs = _mlflow_runs(twin)
    parents = [run for run in runs if run.data.tags["coti.cycle"] == "parent"]
    assert len(parents) == 1
    assert len(runs) == 1 + len(rows)


def _mlflow_runs(space: Workspace) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{space.root}/.coti/mlflow.db")
    experiment = client.get_experiment_by_name("ankle boot")
    return list(client.search_runs([experiment.experiment_id]))
