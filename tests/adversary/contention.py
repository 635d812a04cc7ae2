"""The same work several times at once: threads of torch that fight for the processor's cores."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

__all__ = ["attack", "side_by_side"]

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


def attack(dice: random.Random, folder: Path) -> list[str]:
    """Trainings and generations side by side give the bytes of one alone."""
    from tests.adversary.trainings import learned_bytes

    seed, batch, steps = dice.getrandbits(31), dice.choice((4, 16, 32)), dice.randint(1, 3)
    times, threads = dice.randint(2, 4), dice.randint(2, 3)

    def work() -> bytes:
        return learned_bytes(seed, batch, steps)

    with warnings.catch_warnings():  # diffusers'; threads share the filters
        warnings.simplefilter("ignore", DeprecationWarning)
        alone = side_by_side(work, 1, threads)
        assert len({*alone, *side_by_side(work, times, threads)}) == 1
    return ["equal"] * times
