"""What the loop carries: the first scorers stay, and what was not made yet is asked for in vain."""

from __future__ import annotations

import pytest
import torch

from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.scores.aesthetic import AestheticHead


def test_the_first_scorers_stay() -> None:
    """φ_ref has the same scorers in all cycles, φ each cycle's own."""
    first, second = (AestheticHead.fresh(4, seed=seed) for seed in (0, 1))
    state = LoopState(TrainingSet(("a",))).with_head(first)
    features = torch.ones(2, 3)
    later = state.next_cycle((1.0, 2.0), kept=None, generated=features).with_head(second)
    assert (later.cycle, later.gammas, later.generated) == (1, (1.0, 2.0), features)
    assert later.first_head is first
    assert later.head is second
    with pytest.raises(AssertionError, match="the concept scorer is fitted first"):
        _ = later.scorers
