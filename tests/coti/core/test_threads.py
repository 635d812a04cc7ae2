"""How many processor threads compute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

from coti.core.threads import on_its_threads, processor_threads
from coti.settings import RunSettings


def test_as_many_inside_as_asked_for_and_as_before_outside() -> None:
    """Nested, and not at all for 0."""
    before = torch.get_num_threads()
    with processor_threads(before + 2):
        with processor_threads(before + 1), processor_threads(0):
            assert torch.get_num_threads() == before + 1
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


def test_steps_side_by_side_leave_nothing_behind() -> None:
    """In Python threads of one process: each computes with its number, and later with the old."""
    before, both = torch.get_num_threads(), Barrier(2)

    @on_its_threads
    def step(settings: RunSettings) -> int:
        both.wait(10)
        found = torch.get_num_threads()
        both.wait(10)
        return found

    with ThreadPoolExecutor(2) as pool:
        many = RunSettings(threads=before + 1)
        assert list(pool.map(step, [many] * 2)) == [before + 1] * 2
        later = list(pool.map(lambda _: (both.wait(10), torch.get_num_threads())[1], range(2)))
    assert later == [before] * 2
    assert torch.get_num_threads() == before
