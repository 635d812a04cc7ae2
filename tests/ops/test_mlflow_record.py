from __future__ import annotations

from pathlib import Path

import pytest

from ops.tracking.mlflow_record import RunRecord
from ops.tracking.tracked_embeddings import parent_run
from ops.tracking.tracker import Tracker


@pytest.mark.parametrize("name", ["a driver's cap", 'the "best" B', 'a driver\'s "cap"'])
def test_a_run_with_quotes_in_its_name_is_found_again(name: str, tmp_path: Path) -> None:
    """Row and concept names stand in it; MLflow's filters put values in quotes."""
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_store=str(tmp_path))
    records = [
        RunRecord.open(
            tracker,
            experiment="cap",
            run_name=each,
            run_key=each,
            timestamp=1000,
            params={},
            tags={},
        )
        for each in (name, "another", name)
    ]
    assert records[0].parent_id == records[2].parent_id != records[1].parent_id
    assert parent_run(tracker.client, name) == records[0].parent_id
