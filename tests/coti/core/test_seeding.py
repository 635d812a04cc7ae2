from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.seeding import derived_seed, generator


@given(st.integers(0, 2**40), st.text(max_size=8), st.integers(0, 99))
def test_a_purpose_has_a_seed_of_its_own(seed: int, purpose: str, number: int) -> None:
    """Same purpose, same seed, in torch's range; another purpose, another seed."""
    found = derived_seed(seed, purpose, number)
    assert found == derived_seed(seed, purpose, number)
    assert 0 <= found < 2**63
    assert found != derived_seed(seed, purpose, number + 1)
    assert found != derived_seed(seed + 1, purpose, number)


def test_generators_repeat() -> None:
    """The same draws for the same purpose."""
    first, second = (torch.rand(3, generator=generator(1, "x")) for _ in range(2))
    assert torch.equal(first, second)
