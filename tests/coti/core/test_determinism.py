from __future__ import annotations

import torch

from coti.core.determinism import deterministic


def test_it_is_on_inside_and_as_before_after_the_last_has_left() -> None:
    """Whoever leaves first leaves it on for the others; not wanted, nothing changes."""
    on = torch.are_deterministic_algorithms_enabled
    assert not on()
    with deterministic(False):
        assert not on()
    first, second = deterministic(), deterministic()
    first.__enter__()
    second.__enter__()
    assert on()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    first.__exit__(None, None, None)
    assert on()
    second.__exit__(None, None, None)
    assert not on()
    assert torch.utils.deterministic.fill_uninitialized_memory
