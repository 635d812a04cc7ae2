"""Where an experiment's files go, on a real MLflow; the stack is what its settings would say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import pytest

from coti.core.errors import RegistryError
from ops.tracking import active_tracker
from ops.tracking.active_tracker import open_record
from ops.tracking.evaluation_record import record_evaluation
from ops.tracking.tracker import slug

TAGS = {"coti.config_hash": "hash"}
OPENERS: tuple[Callable[[str], object], ...] = (
    lambda name: open_record(name, {}, TAGS),
    lambda name: open_record(name, {}, TAGS, run_name="boot, COTI, seed 0", run_key="key"),
    lambda name: record_evaluation(active_tracker.active_tracker(), name, [], {}, []),
)
"""A concept's run, an experiment's, an evaluation."""


def _activate(monkeypatch: pytest.MonkeyPatch, uri: str | None, artifact_store: str) -> None:
    """A stack that tracks to ``uri``, and a pipeline run on it."""
    tracker = None if uri is None else SimpleNamespace(get_tracking_uri=lambda: uri)
    stack = SimpleNamespace(
        name="a stack",
        experiment_tracker=tracker,
        artifact_store=SimpleNamespace(path=artifact_store),
    )
    known = SimpleNamespace(items=[])
    client = SimpleNamespace(active_stack=stack, list_pipeline_runs=lambda **_: known)
    run = SimpleNamespace(name="run", created=datetime.now(UTC))
    monkeypatch.setattr(active_tracker, "Client", lambda: client)
    monkeypatch.setattr(active_tracker, "share_s3_credentials", lambda: None)
    monkeypatch.setattr(
        active_tracker, "get_step_context", lambda: SimpleNamespace(pipeline_run=run)
    )


@pytest.mark.parametrize("store", ["s3://bucket/runs", "local"])
def test_whoever_opens_an_experiment_first_its_files_have_one_place(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In every order of the three: below the stack's bucket, or beside the local database."""
    _activate(monkeypatch, f"sqlite:///{tmp_path}/mlflow.db", store)
    beside = (tmp_path / "mlflow-artifacts").as_uri()
    root = f"{store}/mlflow" if store.startswith("s3://") else beside
    client = active_tracker.active_tracker().client
    for number, order in enumerate(permutations(OPENERS)):
        for opened in order:
            opened(f"ankle-boot-{number}")
        experiment = client.get_experiment_by_name(f"ankle-boot-{number}")
        assert experiment is not None
        assert experiment.artifact_location == f"{root}/{slug(experiment.name)}"
        assert len(client.search_runs([experiment.experiment_id])) == 3


def test_a_stack_without_a_tracker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the remedy."""
    _activate(monkeypatch, None, "local")
    with pytest.raises(RegistryError, match=r"'a stack' has no MLflow .* `coti stack up local`"):
        active_tracker.active_tracker()
