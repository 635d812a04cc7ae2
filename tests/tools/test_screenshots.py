"""Which runs the comparison shows; the image itself needs Chromium and is made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient

from coti.core.errors import RegistryError
from tools.screenshots import comparison


@pytest.mark.slow
def test_the_finished_parents_of_the_experiment_are_compared(tmp_path: Path) -> None:
    """Neither cycles nor runs under way; one run is not compared with itself."""
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(RegistryError, match="'boots' has 0 finished runs"):
        comparison(client, "boots")
    experiment = client.create_experiment("boots", artifact_location=tmp_path.as_uri())

    def run(cycle: str, finished: bool = True) -> str:
        made = client.create_run(experiment, tags={"coti.cycle": cycle})
        if finished:
            client.set_terminated(made.info.run_id)
        return str(made.info.run_id)

    first = run("parent")
    run("0")
    run("parent", finished=False)
    with pytest.raises(RegistryError, match="has 1 finished"):
        comparison(client, "boots")
    second = run("parent")
    found = parse_qs(urlsplit(comparison(client, "boots").removeprefix("/#")).query)
    assert set(json.loads(found["runs"][0])) == {first, second}
    assert json.loads(found["experiments"][0]) == [experiment]
