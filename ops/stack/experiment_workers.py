"""Runs side by side: each in a process of its own, so that they share neither models nor threads.

Without workers (the default, and in a pod of its own) a run runs where its step runs.
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

from coti.core.errors import TrainingError
from coti.experiments.experiment_run import ExperimentResult, run_experiment
from coti.loop.data import ConceptData
from coti.settings import RunSettings
from ops.stack.loaded_models import models_of

__all__ = ["RunInputs", "begin_worker", "compute_run", "start_workers", "stop_workers"]

_workers: ProcessPoolExecutor | None = None


@dataclass(frozen=True)
class RunInputs:
    """Everything a run is computed from; it can travel to another process."""

    data: ConceptData
    settings: RunSettings


def start_workers(count: int) -> None:
    """Let up to ``count`` runs run at once; 1 keeps them in this process."""
    global _workers
    stop_workers()
    if count > 1:
        _workers = ProcessPoolExecutor(
            count, multiprocessing.get_context("spawn"), initializer=begin_worker
        )
        atexit.register(stop_workers)


def stop_workers() -> None:
    """End the processes."""
    global _workers
    if _workers is not None:
        _workers.shutdown(wait=False, cancel_futures=True)
        _workers = None


def compute_run(inputs: RunInputs) -> ExperimentResult:
    """Run a run in a free worker, or here."""
    if _workers is None:
        return _compute(inputs)
    try:
        return _workers.submit(_compute, inputs).result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that computes runs was killed, most likely for memory: set parallel to "
            "less, and run the same command again; runs that are done come from the cache."
        ) from error


def _compute(inputs: RunInputs) -> ExperimentResult:
    return run_experiment(models_of(inputs.settings), inputs.data, inputs.settings)


def begin_worker() -> None:
    """A worker draws no bars over the sweep's lines, and ends with its parent, if killed, too."""
    # Errors travel as exceptions.
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
