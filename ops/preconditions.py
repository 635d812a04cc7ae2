"""What must hold before anything expensive begins, in one list; each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import click
from zenml.client import Client
from zenml.execution.pipeline.dynamic.run_context import DynamicPipelineRunContext

from coti.core.errors import StoreError
from coti.core.redaction import without_login
from coti.settings import RunSettings
from coti.settings.from_yaml import read_yaml
from ops.run_file import load_settings
from ops.stack.check_stack import check_stack
from ops.stack.locations import require_run_folder
from ops.stack.package_map import remember_packages
from ops.tracking.active_tracker import active_tracker
from ops.tracking.killed_runs import close_killed_runs

__all__ = ["prepare", "require_experiments", "require_stack"]

_KEEPS = ("artifact_store", "experiment_tracker")
"""Components without which what was computed could not be kept."""


def prepare(config: RunSettings | None) -> RunSettings:
    """What a concept's pipeline does before it wires its steps, the static twin as well.

    What submits to a cluster need not reach what its pods do, nor write where they write: then
    nothing of these places is looked at.

    Returns:
        The run's settings; the quickstart's without a run file.

    Raises:
        ConfigError: the run's name cannot be a folder's.
        RegistryError: the stack has no tracker.
        StoreError: something cannot be used or written; says what and the remedy.
    """
    remember_packages()
    close_killed_runs()
    chosen = config or load_settings()
    dynamic = DynamicPipelineRunContext.get()
    if dynamic is None and Client().active_stack.orchestrator.config.is_remote:
        return chosen
    require_run_folder(chosen.output, _static_run_name() if dynamic is None else dynamic.run.name)
    require_stack([chosen.concept])
    return chosen


def _static_run_name() -> str:
    """The name that a run will have, which ZenML makes after the static pipeline is wired."""
    command = click.get_current_context(silent=True)
    path = None if command is None else command.params.get("config_path")
    name = read_yaml(Path(path)).get("run_name") if path else None
    # ZenML puts date and time for {date} and {time}: such a name is a new one.
    return re.sub(r"\{\w+\}", uuid4().hex[:8], name or "coti_concept_static-{date}-{time}")


def require_stack(experiments: Sequence[str] = ()) -> None:
    """The databases are whole, known and of this folder; what is computed can be kept and tracked.

    Args:
        experiments: MLflow's, which will be written to.

    Raises:
        RegistryError: the stack has no tracker.
        StoreError: something of it cannot be used; says what and the remedy.
    """
    for found in check_stack(only=_KEEPS):
        if found.state == "FAIL":
            raise StoreError(f"{found.what}: {found.said}")
    require_experiments(experiments)


def require_experiments(names: Sequence[str]) -> None:
    """MLflow's experiments take runs: they were not deleted.

    Raises:
        RegistryError: the stack has no tracker.
        StoreError: one was; says how it comes back.
    """
    tracker = active_tracker()
    for name in names:
        found = tracker.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise StoreError(
                f"MLflow's experiment {name!r} was deleted, and takes no runs: bring it back with "
                f"`MLFLOW_TRACKING_URI={without_login(tracker.uri)} mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or delete it for good with `mlflow gc`."
            )
