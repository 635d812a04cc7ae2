"""Changes of the process that threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel

from coti.core.determinism import deterministic
from coti.core.quiet_libraries import quiet_libraries
from coti.core.shared_context import entered_once
from coti.inversion.base_model import _plain_attention


@given(st.permutations(range(8)))
def test_it_is_made_once_and_undone_by_the_last(order: list[int]) -> None:
    """However the comings and goings of four threads interleave."""
    said: list[str] = []

    @entered_once
    @contextmanager
    def change() -> Iterator[None]:
        said.append("made")
        yield
        said.append("undone")

    managers: dict[int, AbstractContextManager[None]] = {}
    inside = 0
    for number in (each // 2 for each in order):
        if number not in managers:
            managers[number] = change()
            managers[number].__enter__()
            inside += 1
        else:
            managers[number].__exit__(None, None, None)
            inside -= 1
        assert (said[-1] == "made") == (inside > 0)
    assert said == ["made", "undone"] * (len(said) // 2)


@pytest.mark.parametrize("change", [deterministic, quiet_libraries, _plain_attention])
def test_two_that_overlap_leave_nothing_behind(
    change: Callable[[], AbstractContextManager[None]],
) -> None:
    """The first to come is the first to leave; then all is as before."""

    def state() -> tuple[object, ...]:
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging

        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            diffusers_logging.get_verbosity(),
            transformers_logging.get_verbosity(),
        )

    before = state()
    first, second = change(), change()
    first.__enter__()
    changed = state()
    assert changed != before
    other = threading.Thread(target=second.__enter__)
    other.start()
    other.join()
    first.__exit__(None, None, None)
    assert state() == changed
    second.__exit__(None, None, None)
    assert state() == before


def test_plain_attention_is_what_torch_calls_so() -> None:
    """The same flags as inside torch's own context."""
    with sdpa_kernel(SDPBackend.MATH):
        wanted = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()
    with _plain_attention():
        found = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()
    assert found == wanted == (False, True)
