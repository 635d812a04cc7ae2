"""Embeddings that MLflow keeps: the file at an artifact address, and those of a run's cycles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from coti.core.errors import RegistryError
from coti.core.whole_files import temporary_folder
from coti.inversion.adapters.embedding import Embedding
from coti.metrics.table import compared
from ops.tracking.metric_groups import of_cycle
from ops.tracking.mlflow_record import CYCLE_TAG, PARENT_TAG, SHA256_TAG
from ops.tracking.tracker import is_absence, run_with, tag_is

__all__ = [
    "FILE",
    "TrackedEmbedding",
    "altered",
    "cycle_embedding",
    "cycle_runs",
    "fetch_file",
    "parent_run",
    "shown_metrics",
]

FILE = "learned_embeds.safetensors"
BESIDE = ("picked", "train_size")


@dataclass(frozen=True)
class TrackedEmbedding:
    """A learned embedding and where it was found."""

    label: str
    """For people: ``ankle-boot v3 (champion)``, ``cycle 2``."""
    embedding: Embedding
    run_id: str
    """MLflow's id of the training run: the parent's for a version, the nested one's for a cycle."""


def parent_run(client: MlflowClient, name: str) -> str | None:
    """MLflow's id of the parent run of a pipeline run by that run's name, if it is known."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    run = run_with(client, experiments, {PARENT_TAG: name, CYCLE_TAG: "parent"})
    return None if run is None else str(run.info.run_id)


def cycle_runs(client: MlflowClient, run_id: str) -> list[Run]:
    """MLflow's nested runs of a run's cycles, the first cycle first.

    Raises:
        RegistryError: the run is unknown, or no cycle of it is recorded.
    """
    try:
        parent = client.get_run(run_id)
    except MlflowException as error:
        if not is_absence(error):
            raise
        raise RegistryError(f"MLflow knows no run {run_id!r}; look it up in `coti ui`.") from error
    query = tag_is("mlflow.parentRunId", run_id)
    found = client.search_runs([parent.info.experiment_id], query)
    nested = [run for run in found if run.data.tags.get(CYCLE_TAG, "").isdigit()]
    if not nested:
        raise RegistryError(f"MLflow has no cycle of the run {run_id}: it ended before its first.")
    return sorted(nested, key=lambda run: int(run.data.tags[CYCLE_TAG]))


def cycle_embedding(client: MlflowClient, run: Run) -> TrackedEmbedding:
    """What a cycle learned; ``run`` is one of :func:`cycle_runs`.

    Raises:
        RegistryError: its file cannot be fetched, or is not the one that was measured.
    """
    label = f"cycle {run.data.tags[CYCLE_TAG]}"
    with temporary_folder() as folder:
        path = fetch_file(client, f"{run.info.artifact_uri}/embedding", label, folder)
        if (said := altered(path, run.data.tags.get(SHA256_TAG))) is not None:
            raise RegistryError(f"{label} of {run.info.run_id}: {said}.")
        embedding = Embedding.load(path)
    return TrackedEmbedding(label, embedding, str(run.info.run_id))


def shown_metrics(metrics: Mapping[str, float]) -> dict[str, str]:
    """A cycle's metrics of MLflow that have a column in every table, by their labels, written.

    After them how many images were picked, and how many X_T has.
    """
    own = of_cycle(metrics)
    found = {metric.label: metric.format(own[metric.name]) for metric in compared(own)}
    return found | {name: f"{own[name]:.0f}" for name in BESIDE if name in own}


def altered(path: Path, sha256: str | None) -> str | None:
    """What is said of an embedding's file that is not the one of this hash; what an earlier release
    recorded has none."""
    if sha256 is None or hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return None
    return (
        "the embedding's file is not the one that was measured (its sha256 differs); the run's "
        "cycles have it, and running the pipeline again registers it anew"
    )


def fetch_file(client: MlflowClient, address: str, label: str, folder: Path) -> Path:
    """Copy the embedding's file from the folder at an artifact address into ``folder``.

    Raises:
        RegistryError: the artifact store does not give it; names ``label``.
    """
    try:
        found = download_artifacts(
            artifact_uri=f"{address.rstrip('/')}/{FILE}",
            dst_path=str(folder),
            tracking_uri=client.tracking_uri,
        )
    except Exception as error:  # artifact stores raise their own
        raise RegistryError(
            f"the file of {label} cannot be fetched from {address} "
            f"({' '.join(str(error).split())[:160]}): `coti stack check` says why."
        ) from error
    return Path(found)
