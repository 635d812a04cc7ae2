"""An experiment's run in MLflow: one MLflow experiment a sweep, to compare runs side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlflow.entities import RunStatus
from zenml import step

from coti.core.contact_sheet import contact_sheet
from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.whole_files import temporary_folder
from coti.metrics.table import METRICS
from ops.stack.loop_inputs import embedding_of
from ops.tracking.active_tracker import computed_before, experiment_record, open_record
from ops.tracking.metric_groups import in_group

__all__ = ["track_experiment"]

NOT_METRICS = ("concept", "strategy", "seed")


@step(enable_cache=False)
def track_experiment(
    experiment: str,
    label: str,
    key: str,
    samples: ImageSet,
    embedding: TensorBundle,
    row: dict[str, Any],
    cycles: list[dict[str, Any]],
    selected: list[str],
    config: dict[str, Any],
    tags: dict[str, str],
) -> None:
    """Written once: a run that has its record, from an earlier sweep, is left as it is."""
    record = open_record(**experiment_record(experiment, label, key, config, tags))
    run = record.client.get_run(record.parent_id)
    if run.info.status == RunStatus.to_string(RunStatus.FINISHED):
        return
    record.log_config(config)
    metrics = {k: v for k, v in row.items() if k not in NOT_METRICS}
    record.log_metrics(record.parent_id, in_group("best", metrics), 0)
    curves = [name for name in (*METRICS, "train_size") if any(name in each for each in cycles)]
    record.log_curve(
        record.parent_id,
        [
            {
                "step": int(each["cycle"]),
                **in_group("cycle", {name: each[name] for name in curves}),
            }
            for each in cycles
        ],
    )
    final = [i for i, name in enumerate(samples.names) if name.startswith("final-")]
    if final:
        grid = np.asarray(contact_sheet(samples.images[final], columns=8))
        record.log_image(record.parent_id, "samples", grid, 0)
    with temporary_folder() as folder:
        learned = embedding_of(embedding)
        if learned is not None:
            path = learned.save(folder / "learned_embeds.safetensors")
            record.log_embedding(record.parent_id, path)
        names = folder / "selected.txt"
        names.write_text("\n".join(selected) + "\n", encoding="utf-8")
        record.log_file(record.parent_id, names, "selection")
    said = f"{row['concept']}, {label}, seed {row['seed']}"
    record.describe(record.parent_id, said, computed_before("row"))
    record.finish(record.parent_id)
