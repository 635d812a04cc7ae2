"""``train.compile``: the UNet goes through torch.compile, and the embedding stays the same.

Most tests take torch's ``eager`` backend: the UNet is traced and guarded for real, the traced
operations then run as they are, so that the numbers are equal to the last bit and no C++ compiler
is needed. One slow test takes the backend that users get, inductor.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.scores.formulas import PhiValue
from coti.settings import ScheduleSettings
from tests.coti.inversion.test_trainer import TOKEN, TRAIN, Killed, rising_phi, train

COMPILED = replace(TRAIN, compile=True)

pytestmark = [
    # What tracing says of torch's and diffusers' own code, an error elsewhere in the tests.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`"),
]


@pytest.fixture(autouse=True)
def nothing_traced_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each test compiles anew, and leaves nothing compiled behind."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """torch.compile with the eager backend; the modules that were compiled."""
    compiled: list[torch.nn.Module] = []
    compile_ = partial(torch.compile, backend="eager")

    def noting(module: torch.nn.Module) -> Any:
        compiled.append(module)
        return compile_(module)

    monkeypatch.setattr(torch, "compile", noting)
    return compiled


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "sdxl"])
def test_a_compiled_training_is_the_same_training(
    kind: str,
    load_model: Callable[..., TextToImageModel],
    images: torch.Tensor,
    traced: list[torch.nn.Module],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Vectors and curve to the last bit; the warm-up is reported and said; the model that was
    given keeps its own UNet."""
    model = load_model(kind)
    unet = model.unet
    plain = train(model, images)
    assert plain.compile_seconds is None
    assert traced == []
    assert "compilation" not in capsys.readouterr().out

    compiled = train(model, images, settings=COMPILED)
    assert traced == [unet]
    assert model.unet is unet
    assert not isinstance(model.unet, torch._dynamo.OptimizedModule)
    assert torch.equal(plain.embedding.parts[0], compiled.embedding.parts[0])
    for ours, theirs in zip(compiled.embedding.parts, plain.embedding.parts, strict=True):
        assert torch.equal(ours, theirs)
    assert compiled.curve == plain.curve
    assert compiled.compile_seconds is not None
    assert compiled.compile_seconds > 0
    said = f"The first step, with compilation, took {compiled.compile_seconds:.0f} s."
    assert said in capsys.readouterr().out


@pytest.mark.slow
def test_the_unet_is_traced_once(
    model: TextToImageModel, images: torch.Tensor, traced: list[torch.nn.Module]
) -> None:
    """One graph without a break serves every step: what comes after the first step is no
    compilation."""
    torch._dynamo.utils.counters.clear()
    train(model, images, None, COMPILED)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.slow
def test_a_compiled_training_resumes(
    model: TextToImageModel,
    images: torch.Tensor,
    traced: list[torch.nn.Module],
    tmp_path: Path,
) -> None:
    """Killed after its checkpoint it goes on there, compiles again, and ends with the undisturbed
    run's bytes, a compiled or a plain one's."""

    def dies(embedding: Embedding, step: int) -> PhiValue:
        if step == 4:
            raise Killed
        return rising_phi(embedding, step)

    store = FolderCheckpointStore(tmp_path)
    with pytest.raises(Killed):
        train(model, images, dies, COMPILED, checkpoint=store)
    assert store.read() is not None
    torch.compiler.reset()  # as in a process of its own
    resumed = train(model, images, settings=COMPILED, checkpoint=store)
    undisturbed = train(model, images, settings=COMPILED)
    assert traced == [model.unet] * 3
    assert resumed.compile_seconds is not None
    assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])
    assert resumed.curve == undisturbed.curve == train(model, images).curve


@pytest.mark.slow
def test_a_finished_compiled_training_compiles_nothing(
    model: TextToImageModel,
    images: torch.Tensor,
    traced: list[torch.nn.Module],
    tmp_path: Path,
) -> None:
    """Its checkpoint gives the result; there is no first step to report."""
    store = FolderCheckpointStore(tmp_path)
    first = train(model, images, settings=COMPILED, checkpoint=store)
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    again = train(model, images, settings=COMPILED, checkpoint=store)
    assert torch.equal(again.embedding.parts[0], first.embedding.parts[0])
    assert again.compile_seconds is None
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gradient_checkpointing", "accumulation", "dvar"])
def test_what_else_goes_through_the_unet_is_compiled_with_it(
    how: str, model: TextToImageModel, images: torch.Tensor, traced: list[torch.nn.Module]
) -> None:
    """Recomputed activations, several batches a step, and DVAR's pass without a gradient: the
    uncompiled run's bytes."""
    changes: dict[str, Any] = {
        "gradient_checkpointing": {"gradient_checkpointing": True},
        "accumulation": {"gradient_accumulation_steps": 2},
        "dvar": {},
    }[how]
    schedule = ScheduleSettings(stop="dvar" if how == "dvar" else "phi")
    settings = replace(TRAIN, max_steps=3, **changes)
    plain = train(model, images, None, settings, schedule=schedule)
    compiled = train(model, images, None, replace(settings, compile=True), schedule=schedule)
    assert torch.equal(compiled.embedding.parts[0], plain.embedding.parts[0])
    assert compiled.curve == plain.curve
    assert not model.unet.training


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler on a CPU")
def test_the_default_backend_learns_the_same_embedding(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Inductor's generated code rounds otherwise, and moves the embedding the same way.

    Of a UNet of one block: each of its kernels takes a C++ compiler a second or more.
    """
    from diffusers import UNet2DConditionModel

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    model = replace(
        model,
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16,),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",),
            mid_block_type=None,
            up_block_types=("UpBlock2D",),
            cross_attention_dim=32,
            attention_head_dim=8,
            norm_num_groups=8,
        ).requires_grad_(requires_grad=False),
    )
    plain = train(model, images)
    compiled = train(model, images, settings=COMPILED)
    assert compiled.compile_seconds is not None
    assert any(tmp_path.rglob("*.cpp")), "nothing was compiled"
    start = Embedding.initial(model, TOKEN)
    moved = (plain.embedding.parts[0] - start.parts[0]).abs().max()
    assert (compiled.embedding.parts[0] - plain.embedding.parts[0]).abs().max() < 1e-3 * moved
