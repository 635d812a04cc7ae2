"""Write a cycle into MLflow, from its artifacts; never cached, so that every record is whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from zenml import step
from zenml.types import HTMLString

from coti.core.contact_sheet import contact_sheet
from coti.core.image_set import ImageSet
from coti.core.whole_files import temporary_folder
from coti.inversion.adapters.embedding import Embedding
from coti.loop.record import CycleRecord, with_judged
from coti.pool.pool_images import PoolImages
from ops.tracking.active_tracker import computed_before, open_record
from ops.tracking.lineage import params_of
from ops.tracking.metric_groups import in_group
from ops.tracking.run_report import rows_of
from ops.tracking.selection_samples import sheets

__all__ = ["track_cycle"]


@step(enable_cache=False)
def track_cycle(
    concept: str,
    history: list[dict[str, Any]],
    judged: dict[str, Any],
    training: dict[str, Any],
    curve: pd.DataFrame,
    embedding: Embedding,
    samples: ImageSet,
    scores: pd.DataFrame | None,
    picked: pd.DataFrame | None,
    pool_images: PoolImages,
    pool_report: HTMLString,
    config: dict[str, Any],
    tags: dict[str, str],
) -> None:
    """Params, tags and the run file on the parent; metrics, embedding and images on both."""
    row = with_judged([CycleRecord.of(history[-1])], [judged])[0].row()
    cycle = int(row["cycle"])
    record = open_record(concept, config, tags)
    record.log_config(config)
    run_id = record.cycle_run(cycle, tags)
    record.log_params(run_id, {"cycle": cycle, **params_of(config)})
    metrics = {key: value for key, value in row.items() if key != "cycle"}
    metrics |= {"optimizer_steps": training["steps"]}
    for target in (record.parent_id, run_id):
        record.log_metrics(target, in_group("cycle", metrics), cycle)
        grid = np.asarray(contact_sheet(samples.images, columns=8))
        record.log_image(target, "samples", grid, cycle)
    steps = rows_of(curve[["step", "loss", "learning_rate", "phi"]])
    record.log_curve(
        run_id, [{"step": each.pop("step"), **in_group("train", each)} for each in steps]
    )
    with temporary_folder() as folder:
        if cycle == 0:
            page = folder / "pool.html"
            page.write_text(str(pool_report), encoding="utf-8")
            record.log_file(record.parent_id, page, "pool")
        path = embedding.save(folder / "learned_embeds.safetensors")
        record.log_embedding(run_id, path)
        if scores is not None and picked is not None:
            table = folder / "selection.parquet"
            scores.assign(picked=scores["id"].isin(picked["id"])).to_parquet(table, index=False)
            record.log_file(run_id, table, "selection")
            for name, ids, captions in sheets(scores, picked):
                image = folder / f"{name}.png"
                sheet = contact_sheet(pool_images.tensor(ids), columns=10, captions=captions)
                sheet.save(image)
                record.log_file(run_id, image, "selection")
                record.log_image(record.parent_id, name, np.asarray(sheet), cycle)
    why = str(training["stop_reason"])
    record.set_tags(run_id, {"coti.stop_reason": why})
    said = f"Cycle {cycle}, {row['train_size']} images in X_T. {why}"
    record.describe(run_id, said, computed_before("training"))
    record.finish(run_id)
