"""A strategy added from outside, in this one file, learns a concept through the loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from coti.core.errors import ConfigError
from coti.loop.data import ConceptData, Models
from coti.loop.learn import learn
from coti.loop.plan import effective
from coti.selection import STRATEGIES, PoolView
from coti.settings import RunSettings
from tests.coti.loop.test_learn import PLAIN, data, models

__all__ = ["data", "models"]  # fixtures


class Last:
    """The last images of the pool that are not in X_T yet."""

    growths = ("cycles",)
    selects = True
    fixed = True
    sees_ground_truth = False

    def __init__(self, name: str) -> None:
        self.name = name

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "the last"

    def least_images(self, settings: RunSettings) -> int:
        """A batch."""
        return settings.selection.batch

    def score(self, pool: PoolView) -> torch.Tensor:
        """The place in the pool."""
        return torch.arange(len(pool.candidates), dtype=torch.float32)

    def gates(self, pool: PoolView) -> dict[str, torch.Tensor]:
        """None."""
        return {}

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """The best by it."""
        score = pool.columns["score"].masked_fill(~pool.candidates, -1)
        return score.argsort(descending=True)[: pool.wanted]


@pytest.fixture(params=["registered", "named"])
def strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """``last``, registered and forgotten afterwards, or where it is found, as in a run file."""
    if request.param == "named":
        return f"{__name__}:Last"
    monkeypatch.setattr(STRATEGIES, "targets", dict(STRATEGIES.targets))
    STRATEGIES.register("last", f"{__name__}:Last")
    return "last"


@pytest.mark.slow
def test_a_strategy_from_outside_selects_in_the_loop(
    models: Models, data: ConceptData, strategy: str
) -> None:
    """Half of its eight images join before the first training, best first, then two and two."""
    cycles = replace(PLAIN.controller, max_cycles=2)
    result = learn(models, data, replace(PLAIN, strategy=strategy, controller=cycles))
    assert [record.picked for record in result.records] == [4, 2, 2]
    kept = result.training_set.selected
    assert kept == tuple(f"p{place:02d}" for place in range(19, 11, -1))[: len(kept)]


def test_one_that_nobody_registered_is_refused() -> None:
    """With those that there are, or with why it cannot be imported."""
    with pytest.raises(ConfigError, match="no strategy 'last': take one of coti, "):
        effective(RunSettings(strategy="last"))
    with pytest.raises(ConfigError, match="'nowhere:Last' cannot be imported"):
        effective(RunSettings(strategy="nowhere:Last"))
