"""Cells side by side: each in a process of its own, so that they share neither models nor threads.

Without workers (the default, and in a pod of its own) a cell runs where its step runs.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from coti.core.errors import TrainingError
from coti.encoders.efficientnet import EfficientNetLite0, load_efficientnet
from coti.loop.experiment_loop import CellData, CellModels, CellResult, run_cell
from coti.scores.baselines import NEED_EFFICIENTNET
from coti.settings import CellSettings, ModelSettings, ScorerSettings
from ops.stack.loaded_models import concept_encoder, judge_of, scorer_of, text_to_image

__all__ = ["CellInputs", "compute_cell", "start_workers", "stop_workers"]

_workers: ProcessPoolExecutor | None = None


@dataclass(frozen=True)
class CellInputs:
    """Everything a cell is computed from; it can travel to another process."""

    data: CellData
    model: ModelSettings
    scorer: ScorerSettings
    cell: CellSettings


def start_workers(count: int) -> None:
    """Let up to ``count`` cells run at once; 1 keeps them in this process."""
    global _workers
    stop_workers()
    if count > 1:
        _workers = ProcessPoolExecutor(
            count, multiprocessing.get_context("spawn"), initializer=_begin
        )
        atexit.register(stop_workers)


def stop_workers() -> None:
    """End the processes."""
    global _workers
    if _workers is not None:
        _workers.shutdown(wait=False, cancel_futures=True)
        _workers = None


def compute_cell(inputs: CellInputs) -> CellResult:
    """Run a cell in a free worker, or here."""
    if _workers is None:
        return _compute(inputs)
    try:
        return _workers.submit(_compute, inputs).result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that computes cells was killed, most likely for memory: set parallel to "
            "less, and run the same command again; cells that are done come from the cache."
        ) from error


def _compute(inputs: CellInputs) -> CellResult:
    before = torch.get_num_threads()
    torch.set_num_threads(inputs.cell.threads)
    try:
        return run_cell(_models(inputs), inputs.data, inputs.cell)
    finally:
        torch.set_num_threads(before)


def _models(inputs: CellInputs) -> CellModels:
    cell, scorer, judge = inputs.cell, inputs.scorer, inputs.cell.evaluation
    encoder = scorer_of(scorer)
    return CellModels(
        text_to_image(inputs.model),
        encoder,
        judge_of(judge),
        concept_encoder(cell.concept_score, encoder, inputs.model),
        _second(cell),
    )


def _second(cell: CellSettings) -> EfficientNetLite0 | None:
    if not cell.reference_judge and cell.strategy not in NEED_EFFICIENTNET:
        return None
    return load_efficientnet(cell.baselines.efficientnet, cell.baselines.side)


def _begin() -> None:
    """A worker draws no bars over the sweep's lines, and ends with its parent, if killed, too."""
    # Errors travel as exceptions.
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
