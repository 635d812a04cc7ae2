"""One loop, four ways in: the embedding of each is the others', bit for bit."""

from __future__ import annotations

import csv
import hashlib
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from coti.dataset.chosen_set import read_set
from coti.selection.decisions import ReviewWriter, read_review
from tests.e2e.conftest import TINY, Workspace, make_workspace
from tests.e2e.learned import learned

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# The controller stops after cycle 1; the twin has a cycle more.
STOPS_EARLY: dict[str, Any] = {
    "controller": {"max_cycles": 2, "patience": 1, "min_improvement": 10.0},
    "train": {**TINY["train"], "captions": "both"},
    "captions": "auto",
}


def reviewed(space: Workspace) -> dict[str, Any]:
    """:data:`STOPS_EARLY` with a review: of the pool some images kept, dropped, rated, captioned,
    and of the seeds one dropped, one rated."""
    folder, place = space.root / "reviewed", space.root / "assets" / "pools" / "ankle_boot"
    if not folder.exists():
        writer = ReviewWriter(folder / "review", "ann")
        for number, path in enumerate(sorted((place / "pool").glob("*.png"))):
            image = hashlib.sha256(path.read_bytes()).hexdigest()
            for every, what, value in (
                (3, "drop", ""), (40, "keep", ""), (10, "rating", "2"), (4, "caption", "a boot"),
            ):  # fmt: skip
                if number % every == 1:
                    writer.decide(image, what, value)
        for path, (what, value) in zip(
            sorted((place / "seeds").iterdir()), (("drop", ""), ("rating", "6")), strict=False
        ):
            writer.decide(hashlib.sha256(path.read_bytes()).hexdigest(), what, value)
    return {**STOPS_EARLY, "selection": {"batch": 10, "review": str(folder)}}


@pytest.fixture(scope="module")
def dynamic(workspace: Workspace) -> tuple[bytes, list[dict[str, str]]]:
    """The dynamic pipeline's embedding, and a row a cycle."""
    workspace.run(workspace.config("run", **reviewed(workspace)))
    return workspace.vectors(), _rows(workspace)


def _rows(space: Workspace) -> list[dict[str, str]]:
    with (space.latest() / "cycles.csv").open(newline="", encoding="utf-8") as file:
        return [
            {key: value for key, value in row.items() if "seconds" not in key}
            for row in csv.DictReader(file)
        ]


def test_learn_learns_the_same(workspace: Workspace, dynamic: tuple[bytes, list[Any]]) -> None:
    """``coti.loop.learn.learn``, in one process and without ZenML."""
    assert learned(workspace, **reviewed(workspace)) == dynamic[0]


def test_x_t_is_as_people_decided(workspace: Workspace, dynamic: tuple[bytes, list[Any]]) -> None:
    """Kept images and no dropped one, captions as they wrote them; where the review lies is no part
    of the cache's keys."""
    review = read_review(workspace.root / "reviewed")
    table = read_set(workspace.latest()).table.set_index("sha256")
    chosen = set(table.index[table["order"] > 0])
    said = {
        word: {image for image, verdict in review.verdicts.items() if verdict == word}
        & set(table.index[table["status"] == "accepted"])
        for word in ("keep", "drop")
    }
    assert said["keep"]
    assert said["keep"] <= chosen
    assert not said["drop"] & chosen
    assert set(table.loc[list(said["drop"]), "why"]) == {"held back by review"}
    captioned = [image for image in review.captions if image in chosen]
    assert captioned
    assert set(table.loc[captioned, "caption"]) == {"a boot"}
    changes = reviewed(workspace)
    moved = workspace.root / "elsewhere"
    (workspace.root / "reviewed").rename(moved)
    changes["selection"]["review"] = "elsewhere"
    workspace.run(workspace.config("run", **changes))
    states = workspace.cached_steps()
    moved.rename(workspace.root / "reviewed")
    always = ("track_cycle", "register_embedding", "write_outputs")
    run = [name for name, state in states.items() if state != "cached"]
    assert all(name.startswith(always) for name in run), run


def test_the_twin_learns_the_same(
    tmp_path_factory: pytest.TempPathFactory, dynamic: tuple[bytes, list[Any]]
) -> None:
    """Same record, too, with the controller's stop passing through; one MLflow parent."""
    # A state of its own: the twin may not take the dynamic pipeline's results from the cache.
    twin = make_workspace(tmp_path_factory.mktemp("twin"))
    twin.run(twin.config("run", **reviewed(twin)), pipeline="coti_concept_static")
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
    run = {**TINY, **reviewed(workspace), "measurement": {"images": 64, "edit_images": 0}}
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
