"""A cell's MLflow run: one experiment a sweep, so that its cells compare side by side."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow.entities import RunStatus
from zenml import get_step_context, step

from coti.core.contact_sheet import contact_sheet
from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from ops.tracking.active_tracker import tracking_uri
from ops.tracking.mlflow_record import RunRecord, slug

__all__ = ["track_cell"]

NOT_METRICS = ("concept", "strategy", "seed")
CURVES = ("phi", "phi_ref", "gamma_aes", "gamma_con", "fd_judge", "r_precision", "train_size")


@step(enable_cache=False)
def track_cell(
    experiment: str,
    label: str,
    key: str,
    samples: ImageSet,
    word: TensorBundle,
    row: dict[str, Any],
    cycles: list[dict[str, Any]],
    picked: list[str],
    params: dict[str, Any],
    tags: dict[str, str],
) -> None:
    """Written once: a cell that has its run already, from an earlier sweep, is left as it is."""
    uri = tracking_uri()
    location = None
    if uri.startswith("sqlite:///"):
        artifacts = Path(uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts"
        location = (artifacts / slug(experiment)).as_uri()
    record = RunRecord.open(
        tracking_uri=uri,
        concept=experiment,
        run_name=f"{row['concept']}, {label}, seed {row['seed']} ({key[:8]})",
        run_key=key,
        timestamp=int(get_step_context().pipeline_run.created.timestamp() * 1000),
        params={**params, "row": label},
        tags={**tags, "mlflow.source.name": "coti_experiments"},
        artifact_location=location,
    )
    run = record.client.get_run(record.parent_id)
    if run.info.status == RunStatus.to_string(RunStatus.FINISHED):
        return
    metrics = {k: v for k, v in row.items() if k not in NOT_METRICS}
    record.log_metrics(record.parent_id, metrics, 0)
    record.log_curve(
        record.parent_id,
        [
            {"step": int(each["cycle"]), **{f"cycle_{name}": each[name] for name in CURVES}}
            for each in cycles
        ],
    )
    final = [i for i, name in enumerate(samples.names) if name.startswith("final-")]
    if final:
        grid = np.asarray(contact_sheet(samples.images[final], columns=8))
        record.log_image(record.parent_id, "samples", grid, 0)
    with TemporaryDirectory(prefix="coti-") as folder:
        if word.tensors:
            path = Path(folder) / "learned_embeds.safetensors"
            word.save(path)
            record.log_file(record.parent_id, path, "embedding")
        names = Path(folder) / "picked.txt"
        names.write_text("\n".join(picked) + "\n", encoding="utf-8")
        record.log_file(record.parent_id, names, "selection")
    record.finish(record.parent_id)
