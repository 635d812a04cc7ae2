"""Several processes that train one adapter together, started by ``accelerate launch``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from coti.core.errors import CotiError, TrainingError

__all__ = ["Processes"]

T = TypeVar("T")

_LAUNCHED = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR", "MASTER_PORT"}
"""What accelerate sets for a single process where several were asked for."""


class Processes:
    """The group this process is in; a group of one unless a launcher set ``WORLD_SIZE``.

    Every process holds the frozen model and the same tensors, takes batches of its own, and
    averages the tensors' gradient with the others: a few kilobytes a step.

    Raises:
        TrainingError: ``accelerate launch`` was asked for several processes and started one.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        """``device``: of the vectors; None: the CPU."""
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = 0
        self._state: Any = None
        if "WORLD_SIZE" not in os.environ and os.environ.keys() >= _LAUNCHED:
            raise TrainingError(
                "accelerate launch found fewer than two GPUs and started one process, whatever "
                "--num_processes says. Give --multi_gpu as well, which starts them all (on a CPU, "
                "too), or --num_processes 1."
            )
        if self.count > 1:
            from accelerate import PartialState

            self._state = PartialState(cpu=device is None or device.type == "cpu")
            self.rank, self.count = self._state.process_index, self._state.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process evaluates φ and writes checkpoints."""
        return self.rank == 0

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by their mean over all processes, in place."""
        if self._state is None:
            return
        from accelerate.utils import reduce

        flat = torch.cat([tensor.flatten() for tensor in tensors])
        mean = reduce(flat, reduction="mean")
        parts = mean.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def from_main(self, produce: Callable[[], T]) -> T:
        """What the main process computes, on all of them.

        Raises:
            CotiError: the main process raised it; the others do not wait for what never comes.
        """
        if self._state is None:
            return produce()
        from accelerate.utils import broadcast_object_list

        box: list[Any] = [None, None]
        if self.is_main:
            try:
                box[0] = produce()
            except CotiError as error:
                box[1] = error
        broadcast_object_list(box, from_process=0)
        if box[1] is not None:
            raise box[1]
        value: T = box[0]
        return value

    def any(self, flag: bool) -> bool:
        """Whether it holds on at least one process."""
        if self._state is None:
            return flag
        from accelerate.utils import gather_object

        return any(gather_object([flag]))
