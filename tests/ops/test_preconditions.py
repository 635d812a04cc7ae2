"""What must hold is looked at before anything is computed, with the remedy."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

import ops.preconditions
from coti.core.errors import CotiError, StoreError
from coti.settings import RunSettings
from ops.preconditions import prepare, require_experiments, require_stack
from ops.stack.check_stack import Finding
from ops.tracking.tracker import Tracker


def test_a_deleted_experiment_is_found_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow takes no run for it, which was said after a cycle had been trained."""
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", str(tmp_path))
    monkeypatch.setattr(ops.preconditions, "active_tracker", lambda: tracker)
    require_experiments(["ankle boot"])  # none yet: the run makes it
    identity = tracker.experiment("ankle boot")
    require_experiments(["ankle boot"])
    tracker.client.delete_experiment(identity)
    with pytest.raises(StoreError, match=f"was deleted.*--experiment-id {identity}`"):
        require_experiments(["coat", "ankle boot"])


def test_the_checks_are_those_of_coti_stack_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that fails ends the run; what is skipped does not."""
    found = [Finding("ok", "a", "fine"), Finding("skip", "b", "no look"), Finding("FAIL", "c", "x")]
    asked = []
    monkeypatch.setattr(
        ops.preconditions, "check_stack", lambda only: asked.append(only) or iter(found)
    )
    with pytest.raises(StoreError, match=r"^c: x$"):
        require_stack(["ankle boot"])
    assert asked == [("artifact_store", "experiment_tracker")]


@pytest.mark.parametrize("name", ["penguin", "new", "pengu{date}in", "..", None])
@pytest.mark.parametrize("remote", [False, True])
def test_the_static_twin_is_checked_as_the_main_pipeline_is(
    name: str | None, remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run's folder by the run file's name, before there is a run; where pods write, nothing."""
    asked: list[list[str]] = []
    orchestrator = SimpleNamespace(config=SimpleNamespace(is_remote=remote))
    client = SimpleNamespace(active_stack=SimpleNamespace(orchestrator=orchestrator))
    monkeypatch.setattr(ops.preconditions, "Client", lambda: client)
    monkeypatch.setattr(ops.preconditions, "require_stack", asked.append)
    (tmp_path / "penguin").mkdir()
    (tmp_path / "penguin" / "photo.png").write_bytes(b"mine")
    settings = RunSettings(concept="boot", output=str(tmp_path))
    run = tmp_path / "run.yaml"
    run.write_text("{}" if name is None else f"run_name: '{name}'")
    context = click.Context(click.Command("run"))
    context.params = {"config_path": str(run)}
    with context:
        if remote or name not in ("penguin", ".."):
            assert prepare(settings) == settings
            assert asked == ([] if remote else [["boot"]])
        else:
            with pytest.raises(CotiError, match=r"penguin is there already|'\.\.'"):
                prepare(settings)
    assert (tmp_path / "penguin" / "photo.png").read_bytes() == b"mine"


def test_pipelines_only_wire() -> None:
    """What must hold before is in one place for both."""
    from pipelines.concept import coti_concept
    from pipelines.concept_static import coti_concept_static

    for pipeline in (coti_concept, coti_concept_static):
        assert "prepare(config)" in inspect.getsource(pipeline.entrypoint)
