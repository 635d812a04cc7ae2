"""An evaluation of words in MLflow: a parent run with the table and the plot, a run a word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from ops.tracking.mlflow_record import experiment_of, slug

__all__ = ["record_evaluation"]


def record_evaluation(
    tracking_uri: str,
    concept: str,
    rows: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    files: Sequence[Path],
) -> str:
    """Write an evaluation into the concept's experiment; returns the parent run's id.

    Args:
        tracking_uri: of MLflow.
        concept: names the experiment, as the pipeline does.
        rows: a mapping a word and seed, with ``label``, ``num_vectors`` and ``seed``; the numbers
            of a word's seeds are one metric, its step is the seed.
        params: how it was measured.
        files: artifacts of the parent run.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    location = None
    if tracking_uri.startswith("sqlite:///"):
        artifacts = Path(tracking_uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts"
        location = (artifacts / slug(concept)).as_uri()
    experiment = experiment_of(client, concept, location)
    parent = client.create_run(experiment, run_name="evaluate", tags={"coti.evaluation": "parent"})
    identity = str(parent.info.run_id)
    client.log_batch(identity, params=[Param(k, str(v)[:6000]) for k, v in params.items()])
    for label in dict.fromkeys(str(row["label"]) for row in rows):
        mine = [row for row in rows if row["label"] == label]
        tags = {"mlflow.parentRunId": identity, "coti.evaluation": "word"}
        run = client.create_run(experiment, run_name=label, tags=tags)
        stamp = int(run.info.start_time)
        metrics = [
            Metric(name, float(value), stamp, int(row["seed"]))
            for row in mine
            for name, value in row.items()
            if name not in ("seed", "num_vectors")
            and isinstance(value, int | float)
            and math.isfinite(value)
        ]
        words = [Param("label", label), Param("num_vectors", str(mine[0]["num_vectors"]))]
        client.log_batch(run.info.run_id, metrics=_named(metrics), params=words)
        client.set_terminated(run.info.run_id)
    for path in files:
        client.log_artifact(identity, str(path))
    client.set_terminated(identity)
    return identity


def _named(metrics: Sequence[Metric]) -> list[Metric]:
    """Names that MLflow takes: a class may be called anything."""
    return [
        Metric(
            "".join(c if c.isalnum() or c in "_-. /" else "-" for c in each.key),
            each.value,
            each.timestamp,
            each.step,
        )
        for each in metrics
    ]
