"""A ranking of checkpoints in MLflow: a run with table and page, each checkpoint a logged model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param

from ops.tracking.tracker import Tracker

__all__ = ["record_ranking"]

_WORDS = ("label", "kind", "file")


def record_ranking(
    tracker: Tracker,
    concept: str,
    rows: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    files: Sequence[Path],
) -> str:
    """Write a ranking into the concept's experiment; returns the run's id.

    Args:
        tracker: MLflow.
        concept: names the experiment, as the pipeline does.
        rows: of :func:`coti.ranking.results.rows_of`, best first.
        params: how it was measured.
        files: artifacts of the run.
    """
    client, experiment = tracker.client, tracker.experiment(concept)
    run = client.create_run(experiment, run_name="rank", tags={"coti.evaluation": "ranking"})
    identity, stamp = str(run.info.run_id), int(run.info.start_time)
    client.log_batch(identity, params=[Param(k, str(v)[:6000]) for k, v in params.items()])
    for row in rows:
        model = client.create_logged_model(
            experiment,
            name=_allowed(str(row["label"])),
            source_run_id=identity,
            params={name: str(row[name]) for name in _WORDS},
            model_type=str(row["kind"]),
        )
        metrics = [
            Metric(name, float(value), stamp, 0, model_id=model.model_id, run_id=identity)
            for name, value in row.items()
            if name not in _WORDS and isinstance(value, int | float) and math.isfinite(value)
        ]
        client.log_batch(identity, metrics=metrics)
        client.finalize_logged_model(model.model_id, "READY")
    for path in files:
        client.log_artifact(identity, str(path))
    client.set_terminated(identity)
    return identity


def _allowed(name: str) -> str:
    """As MLflow takes a model's name: no slash, colon, full stop, percent sign or quotes."""
    return "".join("-" if c in "/:.%\"'" else c for c in name)
