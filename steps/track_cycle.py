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
from ops.tracking.active_tracker import open_record
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
    params: dict[str, Any],
    tags: dict[str, str],
) -> None:
    """Params and tags on the parent; metrics, embedding, tables and images on both."""
    row = with_judged([CycleRecord.of(history[-1])], [judged])[0].row()
    cycle = int(row["cycle"])
    record = open_record(concept, params, tags)
    run_id = record.cycle_run(cycle, tags)
    record.log_params(run_id, {"cycle": cycle, **params})
    metrics = {key: value for key, value in row.items() if key != "cycle"}
    for target in (record.parent_id, run_id):
        record.log_metrics(target, {**metrics, "optimizer_steps": training["steps"]}, cycle)
        grid = np.asarray(contact_sheet(samples.images, columns=8))
        record.log_image(target, "samples", grid, cycle)
    # Names that don't collide with the cycle's own φ.
    named = curve[["step", "loss", "learning_rate", "phi"]].rename(
        columns={"loss": "train_loss", "phi": "train_phi"}
    )
    record.log_curve(run_id, rows_of(named))
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
    record.set_tags(run_id, {"coti.stop_reason": str(training["stop_reason"])})
    record.finish(run_id)
