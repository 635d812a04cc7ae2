"""The same bits whatever else the machine does.

On several threads torch adds up some gradients (of a tensor that was indexed) in whichever order
the threads come to it: under load, two trainings that are the same in everything learn different
embeddings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils import deterministic as _module

from coti.core.shared_context import entered_once

__all__ = ["deterministic"]

_rules: Any = _module


@entered_once
@contextmanager
def _deterministic() -> Iterator[None]:
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _rules.fill_uninitialized_memory,
    )
    # Read when cuBLAS is used for the first time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # It finds reads of memory that nothing was written to, and costs a write of all memory.
    _rules.fill_uninitialized_memory = False
    try:
        yield
    finally:
        enabled, warn_only, fill = before
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        _rules.fill_uninitialized_memory = fill


@contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Torch's deterministic algorithms inside, in every thread; as before once all have left.

    On a CPU every result is then the same bits for the same number of threads. On a GPU an
    operation that has no such algorithm warns and does it as it can.

    Args:
        wanted: without, nothing is changed.

    >>> with deterministic():
    ...     torch.are_deterministic_algorithms_enabled()
    True
    """
    with _deterministic() if wanted else nullcontext():
        yield
