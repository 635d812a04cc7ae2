"""One loop, four ways in: the embedding of each is the others', bit for bit."""

from __future__ import annotations

import csv
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from tests.e2e.conftest import TINY, Workspace, make_workspace
from tests.e2e.learned import learned

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# The controller stops after cycle 1; the twin has a cycle more.
STOPS_EARLY: dict[str, Any] = {
    "controller": {"max_cycles": 2, "patience": 1, "min_improvement": 10.0},
    "train": {**TINY["train"], "captions": "both"},
    "captions": "auto",
}


@pytest.fixture(scope="module")
def dynamic(workspace: Workspace) -> tuple[bytes, list[dict[str, str]]]:
    """The dynamic pipeline's embedding, and a row a cycle."""
    workspace.run(workspace.config("run", **STOPS_EARLY))
    return workspace.vectors(), _rows(workspace)


def _rows(space: Workspace) -> list[dict[str, str]]:
    with (space.latest() / "cycles.csv").open(newline="", encoding="utf-8") as file:
        return [
            {key: value for key, value in row.items() if "seconds" not in key}
            for row in csv.DictReader(file)
        ]


def test_learn_learns_the_same(workspace: Workspace, dynamic: tuple[bytes, list[Any]]) -> None:
    """``coti.loop.learn.learn``, in one process and without ZenML."""
    assert learned(workspace, **STOPS_EARLY) == dynamic[0]


def test_the_twin_learns_the_same(
    tmp_path_factory: pytest.TempPathFactory, dynamic: tuple[bytes, list[Any]]
) -> None:
    """Same record, too, with the controller's stop passing through; one MLflow parent."""
    # A state of its own: the twin may not take the dynamic pipeline's results from the cache.
    twin = make_workspace(tmp_path_factory.mktemp("twin"))
    twin.run(twin.config("run", **STOPS_EARLY), pipeline="coti_concept_static")
    rows = _rows(twin)
    assert (twin.vectors(), rows) == dynamic
    assert len(rows) == 2
    assert sum(name.startswith("train_cycle") for name in twin.cached_steps()) == 3
    client = MlflowClient(tracking_uri=f"sqlite:///{twin.root}/.coti/mlflow.db")
    experiment = client.get_experiment_by_name("ankle boot")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["coti.cycle"] == "parent"]
    assert len(parents) == 1
    assert len(runs) == 1 + len(rows)


EMBEDDING = (
    "import json; from zenml.client import Client\n"
    "run = Client().list_pipeline_runs(size=1, sort_by='desc:created').items[0]\n"
    "(step,) = (s for n, s in run.steps.items() if n.startswith('run_experiment'))\n"
    "tensors = step.outputs['embedding'][0].load().tensors.values()\n"
    "print(json.dumps([t.numpy().tobytes().hex() for t in tensors]))"
)


def test_an_experiments_run_learns_the_same(
    workspace: Workspace, dynamic: tuple[bytes, list[Any]]
) -> None:
    """A row of one, of the same folders and settings."""
    places = ("concept", "seeds", "pool", "references", "ground_truth")
    run = {**TINY, **STOPS_EARLY, "measurement": {"images": 64, "edit_images": 0}}
    config = {
        "name": "one",
        "report": "table1",
        "title": "One run",
        "results": "outputs/one",
        "concepts": [{name: run.pop(name) for name in places}],
        "run": run,
        "rows": {"COTI": {}},
        "seeds": [0],
    }
    path = workspace.root / "one.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"config": config}}), encoding="utf-8")
    workspace.run(path, pipeline="coti_experiments")
    assert dynamic[0].hex() in workspace.query(EMBEDDING)
