"""What must hold is looked at before anything is computed, with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

import ops.preconditions
from coti.core.errors import StoreError
from ops.preconditions import require_experiments, require_stack
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
