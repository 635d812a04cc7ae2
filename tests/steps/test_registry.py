"""Registry and record against a real MLflow on SQLite."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from coti.errors import RegistryError
from coti.settings import PromotionSettings
from steps import registry as registry_module
from steps.mlflow_record import RunRecord, slug
from steps.registry import Registry, lease

pytestmark = [
    pytest.mark.slow,
    # MLflow's own; its SQLite engine is closed by the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking database of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(autouse=True)
def _locks_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "ROOT", tmp_path)


def _record(uri: str, folder: Path, concept: str, name: str, key: str = "k") -> RunRecord:
    location = (folder / "artifacts").as_uri()
    return RunRecord.open(
        uri, concept, name, key, 1_700_000_000_000, {"p": 1}, {"t": "x"}, location
    )


def _metrics(fd: float, precision: float) -> dict[str, Any]:
    return {
        "fd": fd,
        "r_precision": precision,
        "r_precision_candidates": 10,
        "generated": 256,
        "references": 1000,
        "references_hash": "r",
        "judge_hash": "j",
    }


def test_writing_a_cycle_twice_leaves_the_record_as_it_was(uri: str, tmp_path: Path) -> None:
    """A retried step finds the same runs; metrics have one value a step."""
    for _ in range(2):
        record = _record(uri, tmp_path, "twice", "run-1")
        run_id = record.cycle_run(0, {"a": "b"})
        record.log_metrics(run_id, {"phi": 1.5, "fd_judge": None, "kid": float("nan")}, 0)
        record.log_curve(run_id, [{"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0}])
        record.log_picture(record.parent_id, "samples", np.zeros((4, 4, 3), np.uint8), 0)
        record.finish(run_id)
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([record.experiment_id])
    assert len(runs) == 2
    assert [m.value for m in client.get_metric_history(run_id, "train_loss")] == [2.0, 1.0]
    assert client.get_run(run_id).data.metrics == {"phi": 1.5, "train_loss": 1.0}


def test_a_killed_runs_record_is_closed_by_its_successor(uri: str, tmp_path: Path) -> None:
    """The interrupted parent and its cycles end as killed, with the name of who goes on."""
    first = _record(uri, tmp_path, "killed", "run-1")
    child = first.cycle_run(0, {})
    _record(uri, tmp_path, "killed", "run-2")
    client = MlflowClient(tracking_uri=uri)
    assert client.get_run(first.parent_id).info.status == "KILLED"
    assert client.get_run(first.parent_id).data.tags["coti.resumed_by"] == "run-2"
    assert client.get_run(child).info.status == "KILLED"


def test_versions_aliases_and_the_gate(uri: str, tmp_path: Path) -> None:
    """First champion by the floor; a worse challenger stays one; a better one takes over."""
    record = _record(uri, tmp_path, "gate", "run-1")
    entry = Registry.of(uri, "Gate concept!")
    assert entry.name == slug("Gate concept!") == "gate-concept"
    settings = PromotionSettings(r_precision_floor=0.5)

    def register(key: str, fd: float, precision: float) -> Any:
        source = record.client.get_run(record.parent_id).info.artifact_uri
        return entry.register(source, record.parent_id, key, _metrics(fd, precision), {})

    first = register("a", 10.0, 0.8)
    assert entry.promote(first, settings).promoted
    worse = register("b", 11.0, 0.9)
    verdict = entry.promote(worse, settings)
    assert not verdict.promoted
    assert "Fréchet" in verdict.reason
    champion = entry.champion()
    assert champion is not None
    assert int(champion.version) == int(first.version)
    assert entry._is(worse, "challenger")
    better = register("c", 5.0, 0.9)
    assert entry.promote(better, settings).promoted
    champion = entry.champion()
    assert champion is not None
    assert int(champion.version) == int(better.version)
    assert int(register("c", 5.0, 0.9).version) == int(better.version)


def test_a_lease_is_held_by_one_only() -> None:
    """The second is told within its time."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lease("x"):
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    try:
        with pytest.raises(RegistryError, match="under way"), lease("x", seconds=0.2):
            pass
    finally:
        release.set()
        thread.join()
