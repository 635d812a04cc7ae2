"""Which MLflow the active stack tracks to, and the running pipeline's record there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenml import get_step_context
from zenml.client import Client
from zenml.execution.pipeline.dynamic.run_context import DynamicPipelineRunContext
from zenml.models import PipelineRunResponse

from coti.core.errors import RegistryError
from ops.stack.artifact_store import share_s3_credentials
from ops.stack.moved_state import require_state
from ops.stack.tracker_credentials import share_credentials
from ops.tracking.lineage import compared_by, params_of
from ops.tracking.mlflow_record import RunRecord
from ops.tracking.tracker import Tracker

__all__ = ["active_tracker", "computed_before", "experiment_record", "open_record"]


def active_tracker() -> Tracker:
    """The MLflow of the active stack; its credentials are set in the environment.

    Raises:
        RegistryError: the stack has no MLflow experiment tracker.
    """
    require_state()
    stack = Client().active_stack
    tracker: Any = stack.experiment_tracker
    if tracker is None or not hasattr(tracker, "get_tracking_uri"):
        raise RegistryError(
            f"stack {stack.name!r} has no MLflow experiment tracker: register a stack with one: "
            "`coti stack up local`."
        )
    uri = str(tracker.get_tracking_uri())
    if uri.startswith("http"):
        share_credentials(tracker)
    share_s3_credentials()
    return Tracker(uri, artifact_store=str(stack.artifact_store.path))


def open_record(
    experiment: str,
    config: Mapping[str, Any],
    tags: Mapping[str, str],
    *,
    label: str = "",
    run_name: str | None = None,
    run_key: str | None = None,
) -> RunRecord:
    """The MLflow record of the running pipeline run, or of a part of it that has its own.

    Args:
        experiment: MLflow's; the concept's name, or that of a sweep.
        config: all settings of the run, nested. In a sweep its params are those that are not at
            their defaults; else few, and its cycles have these.
        tags: of the run.
        label: of its row in a sweep.
        run_name: finds the run again; the pipeline run's without it.
        run_key: what a killed run and the one that goes on have in common; the hash of the
            configuration without it.
    """
    run = _pipeline_run()
    return RunRecord.open(
        active_tracker(),
        experiment=experiment,
        run_name=run_name or run.name,
        run_key=run_key or tags["coti.config_hash"],
        timestamp=int(run.created.timestamp() * 1000),
        params={"row": label, **params_of(config)} if label else compared_by(config),
        tags=tags,
        ended=_has_ended,
    )


def experiment_record(
    experiment: str, label: str, key: str, config: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Which record of MLflow is this run's, done or failed: what :func:`open_record` takes."""
    return {
        "experiment": experiment,
        "config": config,
        "tags": {**tags, "mlflow.source.name": "coti_experiments"},
        "label": label,
        "run_name": f"{config['concept']}, {label}, seed {config['seed']} ({key[:8]})",
        "run_key": key,
    }


def computed_before(name: str) -> str | None:
    """Which earlier pipeline run computed this input of the running step, if it was none of this.

    Args:
        name: the input's.
    """
    context = get_step_context()
    (found,) = context.inputs[name]
    run = found.producer_pipeline_run_id
    if run is None or run == context.pipeline_run.id:
        return None
    try:
        return str(Client().get_pipeline_run(run).name)
    except KeyError:  # deleted since
        return str(run)


def _pipeline_run() -> PipelineRunResponse:
    """Of the step that runs, or of the pipeline between its steps."""
    context = DynamicPipelineRunContext.get()
    return context.run if context is not None else get_step_context().pipeline_run


def _has_ended(run_name: str) -> bool:
    """What ZenML says of a pipeline run; of one that it does not know, that it is not known."""
    runs = Client().list_pipeline_runs(name=f"equals:{run_name}").items
    return bool(runs) and all(run.status.is_finished for run in runs)
