"""The same work several times at once: threads of torch that fight for the processor's cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["side_by_side"]

T = TypeVar("T")


def side_by_side(work: Callable[[], T], times: int = 4, threads: int = 2) -> list[T]:
    """What ``work`` gives, ``times`` times at once, each on ``threads`` threads of torch.

    In one process: what torch adds up in whichever order its threads come to it then differs as
    much as in several processes, without each of them importing torch.
    """
    before = torch.get_num_threads()

    def one() -> T:
        torch.set_num_threads(threads)
        return work()

    try:
        with ThreadPoolExecutor(times) as pool:
            return [each.result() for each in [pool.submit(one) for _ in range(times)]]
    finally:
        torch.set_num_threads(before)
