"""What a person reads: the embedding, ``cycles.csv`` and ``report.html`` in one folder."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from zenml import get_step_context, step
from zenml.types import HTMLString

from coti.core.image_set import ImageSet
from coti.core.whole_files import point_link, whole_folder
from coti.dataset.chosen_set import ChosenSet, write_set
from coti.dataset.set_table import captioned, table_of_run
from coti.inversion.adapters.embedding import Embedding
from coti.loop.record import CycleRecord, with_judged
from coti.loop.verdict import Verdict
from coti.pool.pool_images import PoolImages
from coti.report import RunReport, write_cycles_csv, write_report
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings
from ops.stack.loaded_models import captioner_of
from ops.stack.locations import LATEST, ROOT, run_folder
from ops.tracking.active_tracker import active_tracker
from ops.tracking.run_folders import write_summary
from ops.tracking.run_report import pngs_of, quarantine_of, rows_of, selections_of

__all__ = ["write_outputs"]


@step(enable_cache=False)
def write_outputs(
    concept: str,
    output: str,
    kept_embedding: Embedding,
    history: list[dict[str, Any]],
    judged: list[dict[str, Any]],
    verdict: dict[str, Any],
    decision: dict[str, Any],
    registration: dict[str, Any],
    curves: list[pd.DataFrame],
    samples: list[ImageSet],
    initial_samples: ImageSet,
    seed_images: ImageSet,
    scores: list[pd.DataFrame],
    picked: list[pd.DataFrame],
    pool_images: PoolImages,
    accepted: pd.DataFrame,
    quarantined: pd.DataFrame,
    pool_report: HTMLString,
    first_selection: int,
    config: dict[str, Any],
    lineage: dict[str, str],
) -> tuple[Annotated[HTMLString, "report"], Annotated[str, "folder"]]:
    """Written beside and renamed when whole, so that no half-written folder is ever seen."""
    rows = [each.row() for each in with_judged([CycleRecord.of(r) for r in history], judged)]
    # An unrolled run has more cycles than it made, and a last selection may have found nothing.
    curves, samples = curves[: len(rows)], samples[: len(rows)]
    first = sum(int(row["cycle"]) < first_selection for row in rows)
    scores, picked = scores[: len(rows) - first], picked[: len(rows) - first]
    settings = parse_settings(config, "the run")
    run = get_step_context().pipeline_run.name
    folder = run_folder(output, run)
    names = dict(zip(accepted["id"], accepted["source"], strict=True))
    report = RunReport(
        concept=concept,
        cycles=rows,
        title=run,
        placeholder_token=kept_embedding.token,
        strategy=str(config["strategy"]),
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        kept_cycle=int(decision["kept_cycle"]),
        stop_reason=str(decision["reason"]),
        verdict=Verdict.of(verdict),
        pool_inputs=len(accepted) + len(quarantined),
        pool_accepted=len(accepted),
        curves=[rows_of(curve) for curve in curves],
        **selections_of(scores, picked, pool_images, names, len(rows)),
        samples=[pngs_of(each) for each in samples],
        start_samples=pngs_of(initial_samples),
        seeds=pngs_of(seed_images),
        quarantine=quarantine_of(quarantined),
        pool_report="pool.html",
        config=config,
        lineage={**lineage, "registry": registration["reason"]},
        files={
            name: name
            for name in (
                "learned_embeds.safetensors",
                "cycles.csv",
                "verdict.json",
                "pool.html",
                "manifest.parquet",
            )
        },
    )
    manifest = pd.concat([accepted, quarantined], ignore_index=True)
    kept = int(decision["kept_cycle"])
    table = table_of_run(manifest, str(config["pool"]), scores, picked, first, kept)
    table = captioned(table, pool_images, settings.captioner.template, captioner_of(settings))
    with whole_folder(folder, replace=True) as part:
        write_summary(
            part,
            concept=concept,
            seed=int(config["seed"]),
            outcome=str(verdict["outcome"]),
            cycles=len(rows),
            kept_cycle=int(decision["kept_cycle"]),
            mlflow_run=str(registration["mlflow_run"]),
        )
        kept_embedding.save(part / "learned_embeds.safetensors")
        write_cycles_csv(rows, part / "cycles.csv")
        (part / "verdict.json").write_text(json.dumps(verdict, indent=2), encoding="utf-8")
        write_set(part, _training_set(settings, verdict, table), ())
        (part / "pool.html").write_text(str(pool_report), encoding="utf-8")
        page = write_report(report, part / "report.html").read_text(encoding="utf-8")
    point_link(folder.with_name(LATEST), folder.name)
    client = active_tracker().client
    client.log_artifact(registration["mlflow_run"], str(folder / "report.html"), "report")
    # Not before: a finished run is one that `coti retrain` need not repeat.
    client.set_terminated(registration["mlflow_run"])
    return HTMLString(page), str(Path(os.path.relpath(folder, ROOT)))


def _training_set(settings: RunSettings, verdict: dict[str, Any], table: pd.DataFrame) -> ChosenSet:
    """X_T of the kept cycle as a set without its images, which are in the pool."""
    rules = settings.pool_rules
    strategy, said = settings.strategy, Verdict.of(verdict)
    return ChosenSet(settings.concept, settings.pool, rules.kind, rules, strategy, table, said)
