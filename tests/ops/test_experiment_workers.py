"""Runs in processes of their own; that whole sweeps run so is tests/e2e/test_experiments.py's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from coti.core.errors import TrainingError
from ops.stack import experiment_workers


@pytest.fixture
def workers() -> Iterator[None]:
    """Two real processes."""
    experiment_workers.start_workers(2)
    yield
    experiment_workers.stop_workers()


def test_a_killed_process_is_one_sentence(workers: None) -> None:
    """As the kernel does where memory is short."""
    pool: Any = experiment_workers._workers
    killed = pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL)
    with pytest.raises(Exception, match="terminated abruptly"):
        killed.result()
    inputs: Any = "not reached"
    with pytest.raises(TrainingError, match=r"set parallel to less.* run the same command again"):
        experiment_workers.compute_run(inputs)
