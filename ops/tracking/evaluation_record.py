"""An evaluation of embeddings in MLflow: a parent run with table and plot, a run an embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param

from ops.tracking.tracker import Tracker

__all__ = ["record_evaluation"]


def record_evaluation(
    tracker: Tracker,
    concept: str,
    rows: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    files: Sequence[Path],
) -> str:
    """Write an evaluation into the concept's experiment; returns the parent run's id.

    Args:
        tracker: MLflow.
        concept: names the experiment, as the pipeline does.
        rows: a mapping an embedding and seed, with ``label``, ``num_vectors`` and ``seed``; the
            numbers of an embedding's seeds are one metric, its step is the seed.
        params: how it was measured.
        files: artifacts of the parent run.
    """
    client, experiment = tracker.client, tracker.experiment(concept)
    parent = client.create_run(experiment, run_name="evaluate", tags={"coti.evaluation": "parent"})
    identity = str(parent.info.run_id)
    client.log_batch(identity, params=[Param(k, str(v)[:6000]) for k, v in params.items()])
    for label in dict.fromkeys(str(row["label"]) for row in rows):
        mine = [row for row in rows if row["label"] == label]
        tags = {"mlflow.parentRunId": identity, "coti.evaluation": "embedding"}
        run = client.create_run(experiment, run_name=label, tags=tags)
        stamp = int(run.info.start_time)
        metrics = [
            Metric(_allowed(name), float(value), stamp, int(row["seed"]))
            for row in mine
            for name, value in row.items()
            if name not in ("seed", "num_vectors")
            and isinstance(value, int | float)
            and math.isfinite(value)
        ]
        described = [Param("label", label), Param("num_vectors", str(mine[0]["num_vectors"]))]
        client.log_batch(run.info.run_id, metrics=metrics, params=described)
        client.set_terminated(run.info.run_id)
    for path in files:
        client.log_artifact(identity, str(path))
    client.set_terminated(identity)
    return identity


def _allowed(name: str) -> str:
    """As MLflow takes it: a class may be called anything."""
    return "".join(c if c.isalnum() or c in "_-. /" else "-" for c in name)
