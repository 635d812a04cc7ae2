"""Bad input: one clear sentence, exit code 1, nothing half-written.

Found before any step, by the first step, or by a later one; what each reader says of each input
stands where the reader is tested.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import TINY, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUN_ALL = """
import json, sys
import click
from ops.quiet import quiet_terminal
quiet_terminal()
from pipelines.concept import coti_concept
found = {}
for path in sys.argv[1:]:
    try:
        coti_concept.with_options(config_path=path)()
        found[path] = "it ran"
    except click.ClickException as error:
        found[path] = error.message
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def messages(workspace: Workspace) -> dict[str, str]:
    """What each bad run file is answered, all in one process to save start-ups."""
    root = workspace.root
    (root / "bad_pool").mkdir()
    (root / "bad_pool" / "a.jpg").write_text("<html>", encoding="utf-8")
    (root / "no_model").mkdir()
    (root / "no_model" / "readme.md").write_text("nothing", encoding="utf-8")
    seeds = TINY["seeds"]
    cases: dict[str, dict[str, Any]] = {
        "missing_pool": {"pool": "data/nowhere"},
        "missing_truth": {"ground_truth": "data/ground_truth.csv"},
        "no_model": {"model": {"base_model": "no_model"}},
        "bad_pool": {"pool": "bad_pool"},
        "large_batch": {"pool": seeds, "selection": {"batch": 5000}},
    }
    paths = {name: str(workspace.config(name, **changes)) for name, changes in cases.items()}
    script = root / "run_all.py"
    script.write_text(RUN_ALL, encoding="utf-8")
    done = workspace.command("python", str(script), *paths.values())
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: answers[path] for name, path in paths.items()}


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ("missing_pool", "nowhere"),
        ("missing_truth", "ground_truth.csv"),
        ("no_model", "no_model"),
        ("bad_pool", "not_an_image"),
        ("large_batch", "5000"),
    ],
)
def test_one_sentence_names_the_input(messages: dict[str, str], case: str, named: str) -> None:
    """The message names what was wrong, in one line, without a traceback."""
    assert named in messages[case]
    assert "\n" not in messages[case].strip()
    assert "Traceback" not in messages[case]


def test_nothing_is_half_written(workspace: Workspace, messages: dict[str, str]) -> None:
    """No output folder after runs that failed."""
    outputs = workspace.root / "outputs"
    assert not outputs.exists() or not any(outputs.iterdir())


def test_a_run_that_fails_says_so_in_mlflow(workspace: Workspace, messages: dict[str, str]) -> None:
    """With the sentence that its user reads; what is found before any step is no run."""
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.root}/.coti/mlflow.db")
    experiment = client.get_experiment_by_name(TINY["concept"])
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    assert [run.info.status for run in runs] == ["FAILED"] * len(runs)
    said = [run.data.tags["coti.failure"] for run in runs]
    assert said[-2:] == [messages["bad_pool"], messages["large_batch"]]


def test_the_command_ends_with_one_line_and_exit_code_1(workspace: Workspace) -> None:
    """``zenml pipeline run`` with an unknown key, as a user meets it."""
    path = Path(workspace.config("unknown", sead=1))
    done = workspace.command("zenml", "pipeline", "run", "coti_concept", "-c", str(path))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert "sead" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
