"""A run's record in MLflow: one experiment a concept, a parent run, a nested run a cycle.

Everything is written through the client with fixed time stamps, so that writing the same cycle
twice (a retried step) leaves the record as it was, and a resumed run's record, built from cached
artifacts, is as whole as an undisturbed one's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from ops.tracking.killed_runs import has_ended, this_process
from ops.tracking.lineage import plain_values
from ops.tracking.tracker import Tracker, run_with, tag_is

__all__ = ["SHA256_TAG", "RunRecord"]

PARENT_TAG = "coti.pipeline_run"
CYCLE_TAG = "coti.cycle"
KEY_TAG = "coti.run_key"
PROCESS_TAG = "coti.process"
SHA256_TAG = "coti.embedding_sha256"
"""Of a run's or a registered version's file of an embedding, when it was measured."""
CONFIG_TAG = "coti.config_file"
RUN_FILE = "config/run.yaml"
"""All settings of a run, as a run file that repeats it."""
CACHED_TAG = "coti.cached_from"
FAILURE_TAG = "coti.failure"
IMAGES = "all cycles/"
"""Before the images' names: the group that stands first, by its letters, on a run's page."""
BATCH = 900
"""Metrics a request; MLflow takes 1,000."""


@dataclass
class RunRecord:
    """The parent run of one pipeline run, and the nested runs below it."""

    client: MlflowClient
    experiment_id: str
    parent_id: str
    timestamp: int
    """Milliseconds; the same whenever this pipeline run's record is written."""

    @classmethod
    def open(
        cls,
        tracker: Tracker,
        *,
        experiment: str,
        run_name: str,
        run_key: str,
        timestamp: int,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        ended: Callable[[str], bool] = lambda _run_name: False,
    ) -> RunRecord:
        """Find this pipeline run's parent, or make it with params and tags.

        ``ended`` says of another run's name whether it is known to have ended.
        """
        client, experiment_id = tracker.client, tracker.experiment(experiment)
        found = run_with(client, [experiment_id], {PARENT_TAG: run_name, CYCLE_TAG: "parent"})
        if found is None:
            _close_killed(client, experiment_id, run_key, run_name, ended)
            found = client.create_run(
                experiment_id,
                start_time=timestamp,
                run_name=run_name,
                tags={
                    PARENT_TAG: run_name,
                    CYCLE_TAG: "parent",
                    KEY_TAG: run_key,
                    PROCESS_TAG: this_process(),
                    "mlflow.source.name": "coti_concept",
                    **tags,
                },
            )
        record = cls(client, experiment_id, found.info.run_id, timestamp)
        record.log_params(found.info.run_id, params)
        return record

    def cycle_run(self, cycle: int, tags: Mapping[str, str]) -> str:
        """The nested run of a cycle: its id; made where there is none yet."""
        key = {"mlflow.parentRunId": self.parent_id, CYCLE_TAG: str(cycle)}
        found = run_with(self.client, [self.experiment_id], key)
        if found is None:
            found = self.client.create_run(
                self.experiment_id,
                start_time=self.timestamp + cycle,
                run_name=f"cycle {cycle}",
                tags={**key, **tags},
            )
        return str(found.info.run_id)

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Params, cut to what MLflow takes."""
        rows = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for first in range(0, len(rows), 100):
            self.client.log_batch(run_id, params=rows[first : first + 100])

    def log_config(self, config: Mapping[str, Any]) -> None:
        """All settings, nested, as the parent's :data:`RUN_FILE`; once."""
        if CONFIG_TAG in self.client.get_run(self.parent_id).data.tags:
            return
        # A YAML file has no tuples.
        values = {"parameters": {"config": plain_values(config)}}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        self.client.log_text(self.parent_id, text, RUN_FILE)
        self.set_tags(self.parent_id, {CONFIG_TAG: RUN_FILE})

    def log_metrics(self, run_id: str, values: Mapping[str, float | None], step: int) -> None:
        """The metrics that are numbers."""
        self.log_curve(run_id, [{"step": step, **values}])

    def log_curve(self, run_id: str, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Metrics by step: a mapping a step, with the key ``step``."""
        metrics = [
            Metric(key, float(value), self.timestamp + int(row["step"] or 0), int(row["step"] or 0))
            for row in rows
            for key, value in row.items()
            if key != "step" and value is not None and math.isfinite(value)
        ]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[first : first + BATCH])

    def log_image(self, run_id: str, key: str, image: np.ndarray[Any, Any], step: int) -> None:
        """One image of a series that the UI's slider walks through; uint8 ``[h, w, 3]``."""
        name = IMAGES + key
        self.client.log_image(run_id, image, key=name, step=step, timestamp=self.timestamp + step)

    def log_file(self, run_id: str, path: Path, folder: str) -> None:
        """A file as an artifact."""
        self.client.log_artifact(run_id, str(path), folder)

    def log_embedding(self, run_id: str, path: Path) -> str:
        """What was learned, with its sha256, which is the answer."""
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.log_file(run_id, path, "embedding")
        self.set_tags(run_id, {SHA256_TAG: sha256})
        return sha256

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Tags, replacing those of the same name."""
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def describe(self, run_id: str, text: str, computed_by: str | None = None) -> None:
        """What MLflow's page of the run says first, in Markdown.

        ``computed_by`` is the earlier pipeline run that computed it, if it comes from the cache.
        """
        tags = {MLFLOW_RUN_NOTE: text}
        if computed_by is not None:
            said = f"From the cache: the run `{computed_by}` computed it."
            tags = {MLFLOW_RUN_NOTE: f"{text}\n\n{said}", CACHED_TAG: computed_by}
        self.set_tags(run_id, tags)

    def finish(self, run_id: str) -> None:
        """End a run; harmless where it has ended. One that failed before has not."""
        tags = self.client.get_run(run_id).data.tags
        for tag in {FAILURE_TAG} & tags.keys():
            self.client.delete_tag(run_id, tag)
        self.client.set_terminated(run_id)

    def fail(self, why: str) -> None:
        """The parent and what is below it has failed, and says why."""
        self.set_tags(self.parent_id, {FAILURE_TAG: why[:5000]})
        self.describe(self.parent_id, f"**Failed.** {why}")
        _end(self.client, self.experiment_id, self.parent_id, "FAILED")


def _close_killed(
    client: MlflowClient,
    experiment_id: str,
    run_key: str,
    run_name: str,
    ended: Callable[[str], bool],
) -> None:
    """A killed run stays as it is, marked killed and by whom resumed; what lives is let be."""
    running = "attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], f"{tag_is(CYCLE_TAG, 'parent')} and {running}"):
        tags = run.data.tags
        if not has_ended(tags.get(PROCESS_TAG, "")) and not ended(tags[PARENT_TAG]):
            continue
        if tags.get(KEY_TAG) == run_key:
            client.set_tag(run.info.run_id, "coti.resumed_by", run_name)
        _end(client, experiment_id, run.info.run_id, "KILLED")


def _end(client: MlflowClient, experiment_id: str, run_id: str, status: str) -> None:
    """End a parent with this status, and what runs below it."""
    client.set_terminated(run_id, status)
    below = f"{tag_is('mlflow.parentRunId', run_id)} and attributes.status = 'RUNNING'"
    for child in client.search_runs([experiment_id], below):
        client.set_terminated(child.info.run_id, status)
