"""The average that a training may end with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.inversion.averaging import Average, power_of_width
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.scores.formulas import PhiValue
from coti.settings import TrainSettings
from tests.coti.inversion.test_trainer import TRAIN, Killed, rising_phi, train

AVERAGED = replace(TRAIN, average=0.2, timesteps="stratified")


@pytest.mark.parametrize(("width", "power"), [(0.05, 16.97), (0.1, 6.94), (1 / math.sqrt(12), 0)])
def test_powers_are_the_papers(width: float, power: float) -> None:
    """γ of σ_rel 0.05 and 0.10 as printed; the widest is the plain mean."""
    assert power_of_width(width) == pytest.approx(power, abs=5e-3)


@given(st.floats(0.02, 0.28))
def test_the_averages_width_is_what_was_asked_for(width: float) -> None:
    """Of the times 1 … t its variance is (σ_rel·t)², and it weighs nothing but them."""
    steps = 2000
    times = torch.zeros(2, dtype=torch.float64)
    average = Average(width, [times])
    for step in range(1, steps + 1):
        times.copy_(torch.tensor([step, step**2]))
        average.add(step)
    mean, square = average.parts[0].tolist()
    assert 0 < mean <= steps
    assert math.sqrt(square - mean**2) / steps == pytest.approx(width, rel=0.02)


@pytest.mark.slow
def test_the_average_is_what_is_evaluated_kept_and_resumed(
    model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """The mean over the iterates, which are those of a training without it; after a kill, too."""
    seen: list[torch.Tensor] = []

    def watch(embedding: object, step: int) -> PhiValue:
        seen.append(embedding.parts[0])  # type: ignore[attr-defined]
        return PhiValue(5.0, 5.0, 5.0)

    every = replace(AVERAGED, phi_every=1, learning_rates=(0.05,))
    train(model, images, watch, replace(every, average=0.0))
    iterate = seen[0].clone()
    expected = Average(0.2, [iterate])
    for step, part in enumerate(seen, start=1):
        iterate.copy_(part)
        expected.add(step)
    iterates, seen = seen, []
    averaged = train(model, images, watch, every).embedding.parts[0]
    assert torch.equal(averaged, expected.parts[0])
    assert torch.equal(seen[-1], averaged)
    assert not torch.equal(iterates[-1], averaged)

    def dies(embedding: object, step: int) -> PhiValue:
        if step == 4:
            raise Killed
        return rising_phi(embedding, step)  # type: ignore[arg-type]

    store = FolderCheckpointStore(tmp_path)
    with pytest.raises(Killed):
        train(model, images, dies, AVERAGED, checkpoint=store)
    resumed = train(model, images, settings=AVERAGED, checkpoint=store)
    undisturbed = train(model, images, settings=AVERAGED)
    assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])
    assert resumed.curve == undisturbed.curve


def test_the_average_goes_on_in_the_next_cycle(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """A cycle that starts from another one's embedding weighs its steps as all that came after."""
    first = train(model, images, settings=AVERAGED).embedding
    assert first.metadata["step"] == str(AVERAGED.max_steps)
    one = replace(AVERAGED, max_steps=1, learning_rates=(0.05,))
    step = train(model, images, settings=replace(one, average=0.0), init=first).embedding.parts[0]
    second = train(model, images, settings=one, init=first).embedding
    steps = AVERAGED.max_steps + 1
    assert second.metadata["step"] == str(steps)
    kept = (1 - 1 / steps) ** (power_of_width(0.2) + 1)
    torch.testing.assert_close(second.parts[0], first.parts[0].lerp(step, 1 - kept))


@pytest.mark.parametrize("width", [-0.1, 0.3])
def test_a_width_that_is_none_is_refused(width: float) -> None:
    """With what it may be."""
    with pytest.raises(ConfigError, match="a width from 0"):
        TrainSettings(average=width)
