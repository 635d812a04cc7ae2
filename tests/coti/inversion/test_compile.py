"""``train.compile``: the UNet compiled, the same word learned, the warm-up told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.embedding import Embedding
from coti.inversion.model import TextToImageModel
from coti.inversion.train import PhiValue, TrainResult
from tests.coti.inversion.test_train import TRAIN, rising_phi, train

pytestmark = [
    # Of torch's own tracing: about tensors that it makes itself, and about diffusers' caches.
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools:UserWarning"),
]
COMPILED = replace(TRAIN, compile=True)


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    """Nothing that another test compiled."""
    torch._dynamo.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile traces and guards for real, and runs what it traced operation by operation.

    The default backend needs a C++ compiler and a minute; it has a test of its own below.
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


def _interrupted(model: TextToImageModel, pictures: torch.Tensor, folder: Path) -> TrainResult:
    """A compiled training whose process fails at step 6, and the same call again."""

    def fails(embedding: Embedding, step: int) -> PhiValue:
        if step == 6:
            raise KeyboardInterrupt
        return rising_phi(embedding, step)

    store = FolderCheckpointStore(folder)
    with pytest.raises(KeyboardInterrupt):
        train(model, pictures, fails, COMPILED, checkpoint=store)
    return train(model, pictures, rising_phi, COMPILED, checkpoint=store)


@pytest.mark.usefixtures("traced")
def test_a_compiled_training_learns_the_same_and_resumes(
    model: TextToImageModel,
    pictures: torch.Tensor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Traced alone, bit for bit; the model that was given is as it was, and the warm-up is told."""
    unet = model.unet
    plain = train(model, pictures)
    compiled = train(model, pictures, settings=COMPILED)
    assert torch.equal(compiled.embedding.vectors, plain.embedding.vectors)
    assert compiled.curve == plain.curve
    assert plain.compile_seconds is None
    assert compiled.compile_seconds is not None
    assert compiled.compile_seconds > 0
    said = capsys.readouterr().out
    assert "The first step, with compilation, took" in said
    assert model.unet is unet
    assert not isinstance(model.unet, torch._dynamo.OptimizedModule)

    again = _interrupted(model, pictures, tmp_path)
    assert torch.equal(again.embedding.vectors, plain.embedding.vectors)
    assert "goes on from its checkpoint of step 3." in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_default_backend_learns_the_same_up_to_rounding(
    model: TextToImageModel, pictures: torch.Tensor, checkpointing: bool
) -> None:
    """Kernels that torch's inductor makes, gradient checkpointing or not."""
    settings = replace(TRAIN, max_steps=4, gradient_checkpointing=checkpointing)
    plain = train(model, pictures, None, settings)
    compiled = train(model, pictures, None, replace(settings, compile=True))
    start = train(model, pictures, None, replace(settings, learning_rates=(1e-12,)))
    moves = [
        (result.embedding.vectors - start.embedding.vectors).flatten()
        for result in (plain, compiled)
    ]
    assert float(torch.cosine_similarity(moves[0], moves[1], dim=0)) > 0.999
