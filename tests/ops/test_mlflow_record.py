from __future__ import annotations

from pathlib import Path

import pytest

from ops.registry.published import Published
from ops.tracking.mlflow_record import RunRecord


@pytest.mark.parametrize("name", ["a driver's cap", 'the "best" B', 'a driver\'s "cap"'])
def test_a_run_with_quotes_in_its_name_is_found_again(name: str, tmp_path: Path) -> None:
    """Row and concept names stand in it; MLflow's filters put values in quotes."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    records = [
        RunRecord.open(uri, "cap", each, each, 1000, {}, {}, tmp_path.as_uri())
        for each in (name, "another", name)
    ]
    assert records[0].parent_id == records[2].parent_id != records[1].parent_id
    assert Published.at(uri).run_of(name) == records[0].parent_id
