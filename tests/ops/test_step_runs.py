from __future__ import annotations

import pytest
from zenml.execution.context import ExecutionContext

from ops.experiment_file import check_experiment_file, planned_runs
from ops.quiet import ENVIRONMENT
from ops.stack.locations import ROOT


def test_a_run_remembers_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZenML fails to look up a step's inputs once it has forgotten one of them, as it does after
    100 steps by itself; the largest experiment, Table 2, has more."""
    runs = planned_runs(check_experiment_file(ROOT / "configs/experiments/table2.yaml"))
    # A run is computed and tracked; a concept has some ten steps of its own.
    steps = 2 * len(runs) + 10 * len({run.settings.concept for run in runs})
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    remembered = ExecutionContext().step_runs
    remembered.update({str(number): None for number in range(2 * steps)})  # type: ignore[misc]
    assert len(remembered) == 2 * steps > 200


def test_the_image_sets_it_as_well() -> None:
    """Pods and containers have no virtual environment's file."""
    name = "ZENML_EXECUTION_CONTEXT_STEP_RUN_CACHE_SIZE"
    assert f"{name}={ENVIRONMENT[name]} " in (ROOT / "k8s" / "Dockerfile").read_text()
