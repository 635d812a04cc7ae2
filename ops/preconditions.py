"""What must hold before anything expensive begins, in one list; each with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from coti.core.errors import StoreError
from ops.stack.check_stack import check_stack
from ops.tracking.active_tracker import active_tracker

__all__ = ["require_experiments", "require_stack"]

_KEEPS = ("artifact_store", "experiment_tracker")
"""Components without which what was computed could not be kept."""


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
                f"`MLFLOW_TRACKING_URI={_shown(tracker.uri)} mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or delete it for good with `mlflow gc`."
            )


def _shown(uri: str) -> str:
    """An address without the name and the password in it."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
