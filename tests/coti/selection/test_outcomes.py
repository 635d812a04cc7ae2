"""What is said of an image after a selection is true, with near duplicates passed over, too."""

from __future__ import annotations

import pytest
import torch

from coti.core.tensors import TensorBundle
from coti.encoders.protocol import normalized
from coti.selection import STRATEGIES, PoolView
from coti.selection.outcomes import held_back, outcome
from coti.settings import RunSettings, SelectionSettings


def reasons(strategy: str, spread: float, seed: int = 0) -> list[str]:
    """Of five candidates, two of which are twins, and one image in X_T, where two are wanted."""
    scores = torch.tensor([9.0, 8.0, 7.0, 6.0, 1.0, 9.5])
    rules = SelectionSettings(
        batch=2, first=0.0, spread=spread, suppress_duplicates=0.95, aesthetic_gate=5.0
    )
    features = torch.tensor([[1.0, 0], [1, 0.01], [0, 1], [1, 1], [-1, 0], [1, 0]])
    pool = PoolView(
        settings=RunSettings(strategy=strategy, growth="cycles", selection=rules),
        features=TensorBundle({"pool": normalized(features)}),
        candidates=torch.tensor([True, True, True, True, True, False]),
        columns=dict.fromkeys(("s_int", "s_aes", "s_con", "score"), scores),
        cycle=1,
    )
    chosen = STRATEGIES.get(strategy)(strategy)
    held = held_back(chosen.gates(pool), len(scores))
    picked = chosen.pick(pool, seed).tolist()
    assert not any(held[place] for place in picked), "what is picked passes"
    return [outcome(words, place in picked)[1] for place, words in enumerate(held)]


def test_a_twin_of_a_picked_image_is_called_so() -> None:
    """It did not pass; nor did what is behind the best that are apart."""
    said = ["picked", "like a picked one", "picked", "not of the best 2", "S_con below 5"]
    assert reasons("coti", 1.0)[:5] == said


@pytest.mark.parametrize(("strategy", "spread"), [("coti", 2.0), ("filtered", 1.0)])
def test_where_the_draw_leaves_a_twin_out_it_was_not_drawn(strategy: str, spread: float) -> None:
    """Another draw could have picked it, as it could all that passed."""
    told = [reasons(strategy, spread, seed)[:4] for seed in range(30)]
    for place in range(4):
        assert {each[place] for each in told} == {"picked", "passed, not drawn"}
    assert not any(each[:2] == ["picked", "picked"] for each in told)
