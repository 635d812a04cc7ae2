"""What ``coti retrain`` makes of a run that ended, on a real MLflow; the run itself is a stand-in
(tests/e2e/test_retraining.py has the real one)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError

from ops.registry.embedding_registry import EmbeddingRegistry
from ops.registry.lease import hold
from ops.retraining import Outcome, download, retrain, summary
from ops.stack.locations import ROOT
from ops.tracking.mlflow_record import RunRecord
from ops.tracking.tracker import Tracker

RUN_FILE = ROOT / "configs" / "concepts" / "ankle_boot.yaml"
METRICS = {"fd_judge": 1.0, "r_precision": 0.9}


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    """A tracking database."""
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", artifact_store=str(tmp_path))


def _record(tracker: Tracker, name: str, folder: Path) -> str:
    """What a whole pipeline run leaves: a finished parent with a registered version."""
    record = RunRecord.open(
        tracker,
        experiment="ankle boot",
        run_name=name,
        run_key=name,
        timestamp=1_000,
        params={},
        tags={},
    )
    for step in (0, 2, 10):
        record.log_image(record.parent_id, "samples", np.full((8, 8, 3), step, np.uint8), step)
    page = folder / "report.html"
    page.write_text(name)
    record.log_file(record.parent_id, page, "report")
    # No stack is active here: the lease is a lock in the test's folder.
    locked = partial(hold, folder=folder / "locks")
    path = folder / "learned_embeds.safetensors"
    path.write_bytes(b"an embedding")
    version = EmbeddingRegistry(record.client, "ankle boot", locked).register(
        source=folder.as_uri(),
        run_id=record.parent_id,
        key=name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        metrics=METRICS,
        tags={},
    )
    record.set_tags(record.parent_id, {"coti.version": str(version.version)})
    record.finish(record.parent_id)
    return record.parent_id


def test_a_run_of_before_is_not_taken_for_this_one(tracker: Tracker, tmp_path: Path) -> None:
    """An orchestrator that returns at once leaves nothing new: that is said, no old version."""
    _record(tracker, "before", tmp_path)
    outcome = retrain(RUN_FILE, tracker, lambda path: 0)
    assert outcome.action == "failed"
    assert "synchronous" in outcome.reason
    assert outcome.version is None


def _run(tracker: Tracker, folder: Path) -> Callable[[Path], int]:
    def run(path: Path) -> int:
        _record(tracker, "now", folder)
        return 0

    return run


def test_a_server_that_goes_while_the_run_ends_fails_this_concept_alone(
    tracker: Tracker, tmp_path: Path
) -> None:
    """The sentence says that the run ended, and what to look at."""

    def run(path: Path) -> int:
        raise EndpointConnectionError(endpoint_url="http://s3")

    outcome = retrain(RUN_FILE, tracker, run)
    assert (outcome.concept, outcome.action) == ("ankle boot", "failed")
    assert outcome.reason.startswith("The object store failed (EndpointConnectionError")
    assert outcome.changed == ["nothing was trained yet"]

    def end_without_server(path: Path) -> int:
        (tmp_path / "mlflow.db").write_bytes(b"no database")
        return 0

    outcome = retrain(RUN_FILE, tracker, end_without_server)
    assert outcome.action == "failed"
    assert outcome.reason.startswith(
        "the run ended, but what came of it could not be asked: A database of ZenML or MLflow"
    )

    def mistake(path: Path) -> int:
        raise KeyError("a mistake")

    (tmp_path / "mlflow.db").unlink()
    with pytest.raises(KeyError):
        retrain(RUN_FILE, Tracker(f"sqlite:///{tmp_path}/other.db", str(tmp_path)), mistake)


def test_the_summary_has_the_headline_metrics_by_their_labels() -> None:
    """As every other reader writes them; what the champion lacks is a dash."""
    metrics = {"r_precision": 0.9, "fd_judge": 1.25, "r_precision_candidates": 10, "generated": 64}
    page = summary(
        [Outcome("boot", "promoted", "better.", version=2, metrics=metrics, champion={})]
    )
    assert "| fd_judge ↓ | 1.250 | – |\n| R-precision ↑ | 0.900 | – |\n" in page
    assert "r_precision" not in page


def test_what_was_trained_can_be_fetched_wherever_it_ran(tracker: Tracker, tmp_path: Path) -> None:
    """Report, and the last cycle's samples, from MLflow; a second time replaces the first."""
    _record(tracker, "before", tmp_path)
    outcome = retrain(RUN_FILE, tracker, _run(tracker, tmp_path))
    assert (outcome.action, outcome.version) == ("challenger", 2)
    for _ in range(2):
        download(
            [outcome, Outcome("other", "unchanged", "nothing")], tracker.client, tmp_path / "kept"
        )
    place = tmp_path / "kept" / "ankle-boot"
    assert (place / "report" / "report.html").read_text() == "now"
    from PIL import Image

    with Image.open(place / "samples.png") as image:
        assert image.getpixel((0, 0)) == (10, 10, 10)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["ankle-boot"]
    assert tracker.client.get_run(str(outcome.run_id)).info.status == "FINISHED"
