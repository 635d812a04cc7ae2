"""Which MLflow the active stack tracks to, and what identifies the running pipeline there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml import get_step_context
from zenml.client import Client

from coti.core.errors import RegistryError
from ops.stack.artifact_store import share_s3_credentials
from ops.tracking.mlflow_record import RunRecord, slug

__all__ = ["open_record", "tracking_uri"]

REMEDY = "register a stack with one: `coti stack up local`."


def tracking_uri() -> str:
    """The MLflow tracking URI of the active stack, credentials set in the environment.

    Raises:
        RegistryError: the stack has no MLflow experiment tracker.
    """
    tracker: Any = Client().active_stack.experiment_tracker
    if tracker is None or not hasattr(tracker, "get_tracking_uri"):
        name = Client().active_stack_model.name
        raise RegistryError(f"stack {name!r} has no MLflow experiment tracker: {REMEDY}")
    if str(tracker.get_tracking_uri()).startswith("http"):
        tracker.configure_mlflow()
    share_s3_credentials()
    return str(tracker.get_tracking_uri())


def open_record(concept: str, params: dict[str, Any], tags: dict[str, str]) -> RunRecord:
    """The MLflow record of the running pipeline run."""
    run = get_step_context().pipeline_run
    uri = tracking_uri()
    return RunRecord.open(
        tracking_uri=uri,
        concept=concept,
        run_name=run.name,
        run_key=tags["coti.config_hash"],
        timestamp=int(run.created.timestamp() * 1000),
        params=params,
        tags=tags,
        artifact_location=_artifact_location(uri, concept),
    )


def _artifact_location(uri: str, concept: str) -> str | None:
    """Where a local database's files go: the stack's bucket, or beside it; a server knows."""
    if not uri.startswith("sqlite:///"):
        return None
    store = str(Client().active_stack.artifact_store.path)
    if store.startswith("s3://"):
        return f"{store}/mlflow/{slug(concept)}"
    artifacts = Path(uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts"
    return (artifacts / slug(concept)).as_uri()
