"""What ends a training in the middle: a full disk, a lost store, too little memory."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coti.core.errors import TrainingError
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.memory import memory_knobs, weight_bytes
from coti.inversion.trainer import TrainResult, train_cycle
from coti.settings import ScheduleSettings, TokenSettings, TrainSettings

TOKEN = TokenSettings(placeholder_token="<t>", initializer="shoe", num_vectors=2)
TRAIN = TrainSettings(batch_size=2, max_steps=12, checkpoint_every=1, learning_rates=(0.05,))
GIB = 1 << 30


def train(
    model: TextToImageModel,
    images: torch.Tensor,
    store: object = None,
    settings: TrainSettings = TRAIN,
) -> TrainResult:
    """Twelve steps with a checkpoint after each."""
    return train_cycle(
        model,
        images,
        None,
        Embedding.initial(model, TOKEN),
        settings,
        ScheduleSettings(),
        None,
        0,
        store,  # type: ignore[arg-type]
        token=TOKEN,
    )


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow beyond ``size`` bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_fills_up_leaves_a_checkpoint_that_resumes(
    model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """Real writes that fail half way: the last whole checkpoint is there, no part file is, and the
    same call with room again ends with the undisturbed run's bytes."""
    sizes = FolderCheckpointStore(tmp_path / "sizes")
    train(model, images, sizes, replace(TRAIN, max_steps=5))
    size = sizes.path.stat().st_size
    store = FolderCheckpointStore(tmp_path / "run")
    with (
        largest_file(size),
        pytest.raises(TrainingError, match=r"step \d+ could not be written: .*File too large"),
    ):
        train(model, images, store)
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]
    resumed, undisturbed = train(model, images, store), train(model, images)
    assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])


class Away:
    """A store whose network is gone."""

    def read(self) -> bytes | None:
        """Fail as s3fs does."""
        raise ConnectionError("Could not connect to the endpoint")

    def write(self, content: bytes) -> None:
        """Never reached."""
        raise AssertionError


def test_a_store_that_is_away_stops_before_anything_is_trained(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """A checkpoint may lie there: starting anew without it would be silent."""
    with pytest.raises(TrainingError, match="cannot be seen: Could not connect"):
        train(model, images, Away())


def test_the_knobs_come_with_what_they_save() -> None:
    """The largest first, in GiB where the device says what was allocated."""
    settings = TrainSettings(batch_size=4)
    knobs = memory_knobs(settings, 4 * GIB, 20 * GIB, float32=True)
    assert knobs == [
        "gradient_checkpointing: true (saves at least 13.0 GiB, a third more time, goes on from "
        "the checkpoint)",
        "dtype: bfloat16 (saves at least 12.0 GiB)",
        "batch_size: 2 with gradient_accumulation_steps: 2 (saves at least 10.0 GiB)",
    ]
    least = replace(settings, batch_size=1, gradient_checkpointing=True)
    assert memory_knobs(least, 4 * GIB, 2 * GIB, float32=False) == [
        "a base model with fewer pixels, or a larger device"
    ]
    assert "about half of the activations" in memory_knobs(settings, GIB, 0, float32=False)[0]


def test_out_of_memory_names_the_knobs_and_keeps_the_checkpoint(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch's own error, raised in the seventh forward pass: there is no GPU to fill here."""
    store = FolderCheckpointStore(tmp_path)
    forward = model.unet.forward
    calls: list[int] = []

    def runs_out(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 7:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*arguments, **named)

    monkeypatch.setattr(model.unet, "forward", runs_out)
    with pytest.raises(
        TrainingError,
        match=r"ran out of memory. Saves memory: .*batch_size: 1 .*that was written is kept",
    ):
        train(model, images, store)
    monkeypatch.undo()
    kept = store.read()
    assert kept is not None
    less_memory = replace(TRAIN, gradient_checkpointing=True)
    undisturbed = train(model, images)
    for settings in (TRAIN, less_memory):
        store.write(kept)
        resumed = train(model, images, store, settings)
        assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])
    store.write(kept)
    with pytest.raises(TrainingError, match=r"differs: train.batch_size \(checkpoint 2, now 1\)"):
        train(model, images, store, replace(TRAIN, batch_size=1))
    assert weight_bytes(model) > 100_000


def test_a_number_that_is_not_finite_leaves_a_checkpoint_that_resumes(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The UNet overflows once, in the seventh forward pass, as a faulty device does.

    The step and the remedy are named, the poisoned step is not saved, and the same call goes on
    to the undisturbed run's bytes.
    """
    store = FolderCheckpointStore(tmp_path)
    forward = model.unet.forward
    calls: list[int] = []

    def overflows(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        (predicted,) = forward(*arguments, **named)
        return (predicted * float("inf") if len(calls) == 7 else predicted,)

    monkeypatch.setattr(model.unet, "forward", overflows)
    with pytest.raises(TrainingError, match=r"stopped at step 7: the loss is not finite. Lower "):
        train(model, images, store)
    monkeypatch.undo()
    kept = store.read()
    assert kept is not None
    assert b'\\"step\\": 6' in kept
    resumed, undisturbed = train(model, images, store), train(model, images)
    assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])
