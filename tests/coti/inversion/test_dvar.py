from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.dvar import Dvar, variance_ratio
from coti.inversion.trainer import TrainResult, train_cycle
from coti.settings import ScheduleSettings, TokenSettings, TrainSettings

TOKEN = TokenSettings(placeholder_token="<t>", initializer="shoe", num_vectors=2)
SCHEDULE = ScheduleSettings(stop="dvar", dvar_window=10, dvar_threshold=0.9)


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=40))
def test_the_ratio_is_numpys(losses: list[float]) -> None:
    """Population variance of the last four over that of all; 1 where all are equal."""
    import numpy as np

    whole = float(np.var(losses))
    ratio = variance_ratio(losses, 4)
    if whole < 1e-12:
        return
    assert math.isclose(ratio, float(np.var(losses[-4:])) / whole, rel_tol=1e-6, abs_tol=1e-9)


def test_a_short_or_constant_history_says_nothing() -> None:
    """Fewer losses than the window, or no variance at all."""
    assert variance_ratio([3.0, 1.0], 3) == 1.0
    assert variance_ratio([1.0] * 9, 3) == 1.0


def test_a_falling_loss_goes_on_and_a_settled_one_ends() -> None:
    """An exponential fall with a small ripple."""
    dvar = Dvar(window=20, threshold=0.05)
    stopped = None
    for step in range(200):
        ripple = 0.01 * math.sin(step)
        dvar.add(torch.tensor(math.exp(-step / 10) + ripple))
        if dvar.settled():
            stopped = step
            break
    assert stopped is not None
    assert 30 < stopped < 80
    assert "its variance over 20 steps is" in dvar.reason


def test_impossible_settings_are_refused() -> None:
    """A window of one step, a share of one."""
    with pytest.raises(ConfigError, match="dvar_window is 1"):
        ScheduleSettings(dvar_window=1)
    with pytest.raises(ConfigError, match=r"dvar_threshold is 1.0"):
        ScheduleSettings(dvar_threshold=1.0)


def train(
    model: TextToImageModel,
    images: torch.Tensor,
    store: FolderCheckpointStore | None = None,
    schedule: ScheduleSettings = SCHEDULE,
    **changes: object,
) -> TrainResult:
    """A training whose loss on fixed draws falls fast."""
    settings = TrainSettings(batch_size=2, max_steps=60, learning_rates=(0.3,), checkpoint_every=10)
    return train_cycle(
        model,
        images,
        None,
        Embedding.initial(model, TOKEN),
        replace(settings, **changes),  # type: ignore[arg-type]
        schedule,
        None,
        0,
        store,
        token=TOKEN,
    )


def test_training_ends_by_itself_and_is_what_it_was_without_the_criterion(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """Measuring changes no vector: the first steps are those of a run that doesn't."""
    result = train(model, images)
    assert result.steps in (25, 50)
    assert "(DVAR)" in result.stop_reason
    plain = train(model, images, None, ScheduleSettings(), max_steps=result.steps)
    assert torch.equal(plain.embedding.parts[0], result.embedding.parts[0])


@pytest.mark.slow
def test_the_criterion_survives_a_kill(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after a checkpoint at step 10, it stops where the undisturbed run does."""
    store = FolderCheckpointStore(tmp_path)
    steps: list[int] = []
    original: Callable[[Dvar, torch.Tensor], None] = Dvar.add

    def dies(self: Dvar, loss: torch.Tensor) -> None:
        steps.append(1)
        if len(steps) == 15:
            raise KeyboardInterrupt
        original(self, loss)

    monkeypatch.setattr(Dvar, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        train(model, images, store)
    monkeypatch.setattr(Dvar, "add", original)
    resumed, undisturbed = train(model, images, store), train(model, images)
    assert resumed.steps == undisturbed.steps
    assert resumed.stop_reason == undisturbed.stop_reason
    assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])
