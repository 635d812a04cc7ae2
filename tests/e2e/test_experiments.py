"""The experiments in small: real models, real ZenML and MLflow, few steps.

Rows that are the same in two files are one run: the second takes it from the cache.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from coti.experiments.result_rows import COLUMNS
from tests.e2e.conftest import ROOT, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REPORTS = ("table1", "table2", "figure3", "figure4", "figure5", "figure6", "ablations")
RESULTS = Path("outputs/experiments/mini")


def run(workspace: Workspace, path: str | Path) -> str:
    """``zenml pipeline run coti_experiments -c path``, which must succeed; all that it printed."""
    done = workspace.run(Path(path), pipeline="coti_experiments")
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", REPORTS)
def test_a_miniature_of_every_experiment_runs(workspace: Workspace, name: str) -> None:
    """The cost comes first, then a line a run; CSV, page and images are written by the command."""
    file = ROOT / "configs" / "experiments" / "mini" / f"{name}.yaml"
    rows = yaml.safe_load(file.read_text(encoding="utf-8"))["parameters"]["config"]["rows"]
    printed = run(workspace, f"configs/experiments/mini/{name}.yaml")
    assert f"{name}: {len(rows)} runs" in printed
    assert "minutes" in printed
    assert f"[{len(rows)}/{len(rows)}]" in printed
    folder = workspace.root / RESULTS
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as table:
        found = list(csv.DictReader(table))
    assert tuple(found[0]) == COLUMNS
    assert len(found) == len(rows)
    assert all(float(row["fd_judge"]) > 0 for row in found)
    assert (folder / f"{name}.md").is_file()
    assert list(folder.glob(f"{name}*.png"))
    assert (folder / f"{name}_cycles.csv").is_file() == (name in ("figure5", "figure6"))
    if name == "table2":
        assert {"ReLIC (retrained)", "TANet (retrained)", "VLAD", "COTI"} <= {
            row["strategy"] for row in found
        }


def test_a_sweep_goes_on_with_the_runs_that_are_left(workspace: Workspace) -> None:
    """Killed inside its second run, run again: the first comes from the cache, and it is said; the
    second is computed."""
    path = workspace.root / "configs" / "experiments" / "mini" / "figure4.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = content["parameters"]["config"]
    config["rows"] = {**config["rows"], "seeds only": {"strategy": "seeds", "growth": "at_once"}}
    config["name"] = "grown"
    grown = workspace.root / "grown.yaml"
    grown.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert workspace.run_and_kill(
        grown, lambda log: "Step `run_experiment_2` has started" in log, pipeline="coti_experiments"
    )
    # Where a report goes and what is promoted are no part of a run.
    config["run"] = {"output": "elsewhere", "promotion": {"min_samples": 7}}
    grown.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    printed = run(workspace, grown)
    lines = [line for line in printed.splitlines() if line.startswith("[")]
    assert ["from the cache" in line for line in lines] == [True, False]
    status = workspace.cached_steps()
    runs = {name: value for name, value in status.items() if name.startswith("run_experiment")}
    assert len(runs) == 2
    assert sorted(runs.values())[0] == "cached"


def test_runs_are_mlflow_runs_of_one_experiment(workspace: Workspace) -> None:
    """Each with its metrics and settings, written once however often the sweep runs."""
    # Once already where the miniatures ran.
    run(workspace, "configs/experiments/mini/table1.yaml")
    found = workspace.query(
        "import json, mlflow, glob\n"
        "from zenml.client import Client\n"
        "uri = Client().active_stack.experiment_tracker.get_tracking_uri()\n"
        "client = mlflow.MlflowClient(tracking_uri=uri)\n"
        "experiment = client.get_experiment_by_name('table1')\n"
        "runs = client.search_runs([experiment.experiment_id])\n"
        "print(json.dumps([[r.info.run_name, sorted(r.data.metrics), "
        "r.data.params['row']] for r in runs]))"
    )
    assert len(found) == 6, json.dumps([name for name, _, _ in found])
    assert {row for _, _, row in found} >= {"COTI", "TI (RAND)", "oracle"}
    assert all("fd_judge" in metrics for _, metrics, _ in found)
    # 96 images of 320 features, in the miniatures.
    assert not any("fd_efficientnet" in metrics for _, metrics, _ in found)


def test_a_wrong_experiment_ends_in_one_sentence(workspace: Workspace) -> None:
    """Exit code 1, no traceback."""
    path = workspace.root / "wrong.yaml"
    path.write_text("parameters: {config: {name: n, title: t, repord: x}}", encoding="utf-8")
    done = workspace.command("zenml", "pipeline", "run", "coti_experiments", "-c", str(path))
    assert done.returncode == 1
    assert "repord" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
