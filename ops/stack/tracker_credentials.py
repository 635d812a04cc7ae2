"""The tracker's name and password, where MLflow's client looks for them."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["share_credentials"]


def share_credentials(tracker: Any) -> None:
    """MLflow's name and password, of ZenML's tracker, are put into the environment.

    Where its settings say ``environment`` they are there: a pod has those of its role.
    """
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    theirs = tracker.config.tracking_username == "environment"
    own = {name: os.environ.get(name, "") for name in names if theirs}
    tracker.configure_mlflow()
    os.environ.update(own)
