from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from coti.core.errors import EmbeddingError, TrainingError
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.trainer import TrainResult, train_cycle
from coti.scores.formulas import PhiValue
from coti.settings import (
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)
from tests.adversary.bit_flips import flipped
from tests.adversary.contention import side_by_side
from tests.warm_start import warm_start

TOKEN = TokenSettings(placeholder_token="<t>", initializer="shoe", num_vectors=2)
TRAIN = TrainSettings(
    batch_size=4, max_steps=8, phi_every=2, checkpoint_every=3, learning_rates=(0.05, 0.01)
)
GENERATION = GenerationSettings(num_inference_steps=2)


def rising_phi(embedding: Embedding, step: int) -> PhiValue:
    """A φ that depends on the embedding, so that a resumed run must restore it well."""
    return PhiValue(min(9.9, step / 10 + float(embedding.parts[0].std()) / 100), 5.0, 5.0)


def train(
    model: TextToImageModel,
    images: torch.Tensor,
    evaluate_phi: Callable[[Embedding, int], PhiValue] | None = rising_phi,
    settings: TrainSettings = TRAIN,
    **changes: Any,
) -> TrainResult:
    """A short training on the tiny model."""
    arguments: dict[str, Any] = {
        "captions": None,
        "init": Embedding.initial(model, changes.get("token", TOKEN)),
        "schedule": ScheduleSettings(dynamic=True),
        "seed": 0,
        "token": TOKEN,
        **changes,
    }
    return train_cycle(model, images, settings=settings, evaluate_phi=evaluate_phi, **arguments)


def test_only_the_new_vectors_change(model: TextToImageModel, images: torch.Tensor) -> None:
    """Every parameter of the model keeps its bytes and gets no gradient; the vectors move."""
    parts = (model.vae, model.unet, *model.text_encoders)
    before = [{k: v.clone() for k, v in part.state_dict().items()} for part in parts]
    result = train(model, images)
    start = Embedding.initial(model, TOKEN)
    assert (result.embedding.parts[0] != start.parts[0]).all()
    for part, old in zip(parts, before, strict=True):
        assert all(torch.equal(old[name], value) for name, value in part.state_dict().items())
        assert all(parameter.grad is None for parameter in part.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sdxl"])
def test_training_overfits_fixed_draws(
    kind: str, load_model: Callable[..., TextToImageModel], images: torch.Tensor
) -> None:
    """The loss of the last steps is below what the untrained embedding has on the same draws."""
    model = load_model(kind)
    settings = replace(TRAIN, max_steps=16, learning_rates=(0.3,))
    free = replace(TOKEN, norm_control="none")
    trained = train(model, images, None, settings, token=free)
    untrained = train(model, images, None, replace(settings, learning_rates=(1e-9,)), token=free)
    last = slice(8, 16)

    def loss(result: TrainResult) -> float:
        return sum(float(row["loss"] or 0) for row in result.curve[last])

    assert loss(trained) < loss(untrained)


def test_the_curve_has_a_row_a_step(model: TextToImageModel, images: torch.Tensor) -> None:
    """Loss and rate at every step, φ where it was evaluated, None elsewhere."""
    result = train(model, images)
    assert [row["step"] for row in result.curve] == list(range(1, 9))
    assert all(isinstance(row["loss"], float) for row in result.curve)
    assert [row["step"] for row in result.curve if row["phi"] is not None] == [2, 4, 6, 8]
    assert result.steps == 8
    assert result.image_steps == 32
    assert result.stop_reason == "All 8 steps are done."
    assert result.embedding.metadata["step"] == "8"


def test_a_fall_of_phi_lowers_the_rate_and_a_second_one_ends_the_cycle(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """The schedule's decisions are followed at once and the reason is reported."""
    values = iter([5.0, 4.0, 4.5, 3.0])
    result = train(model, images, lambda *_: PhiValue(next(values), 5.0, 5.0))
    assert [row["learning_rate"] for row in result.curve] == [0.05] * 4 + [0.01] * 4
    assert [row["stage"] for row in result.curve] == [0] * 4 + [1] * 4
    assert "fell from 4.50 to 3.00" in result.stop_reason


def test_phi_can_be_evaluated_by_epochs(model: TextToImageModel, images: torch.Tensor) -> None:
    """Two epochs over ten images in batches of four are five steps."""
    settings = replace(TRAIN, phi_unit="epochs", phi_every=2, max_steps=6)
    result = train(model, images, rising_phi, settings)
    assert [row["step"] for row in result.curve if row["phi"] is not None] == [5]


def test_training_is_deterministic(model: TextToImageModel, images: torch.Tensor) -> None:
    """One seed gives the same bytes, another seed others."""
    first, again = train(model, images), train(model, images)
    other = train(model, images, seed=1)
    assert torch.equal(first.embedding.parts[0], again.embedding.parts[0])
    assert first.curve == again.curve
    assert not torch.equal(first.embedding.parts[0], other.embedding.parts[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers'; threads share the filters
@pytest.mark.slow
def test_trainings_side_by_side_are_equal(model: TextToImageModel, images: torch.Tensor) -> None:
    """On two threads, three at once: the same bytes as one alone, of what they generate, too."""
    many = replace(TRAIN, batch_size=32, max_steps=3, learning_rates=(0.05,))

    def learned() -> bytes:
        embedding = train(model, images, None, many).embedding
        generated = generate(model, ["a <t>"] * 4, [embedding], GENERATION, 0)
        return bytes(embedding.parts[0].numpy().tobytes() + generated.numpy().tobytes())

    assert len(set(side_by_side(learned, 3) + side_by_side(learned, 1))) == 1


def test_half_precision_trains_alike(
    model: TextToImageModel, model_folder: Callable[..., Path], images: torch.Tensor
) -> None:
    """In bfloat16 it is float32, deterministic, and moves as in float32 up to rounding."""
    folder = str(model_folder())
    half = load_text_to_image(ModelSettings(base_model=folder, device="cpu", dtype="bfloat16"))
    settings = replace(TRAIN, max_steps=3, learning_rates=(0.01,))
    start = Embedding.initial(model, TOKEN)
    first, again, exact = (
        train(which, images, None, settings, init=start) for which in (half, half, model)
    )
    assert first.embedding.parts[0].dtype == torch.float32
    assert torch.equal(first.embedding.parts[0], again.embedding.parts[0])
    moves = [(result.embedding.parts[0] - start.parts[0]).flatten() for result in (first, exact)]
    assert float(torch.cosine_similarity(moves[0], moves[1], dim=0)) > 0.9
    assert abs(float(first.curve[0]["loss"] or 0) - float(exact.curve[0]["loss"] or 0)) < 0.02


def test_accumulated_batches_are_one_larger_batch(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """Two batches of 5 a step see the images of an epoch in the order of one batch of 10."""
    two = replace(TRAIN, batch_size=5, gradient_accumulation_steps=2, max_steps=2)
    result = train(model, images, None, two)
    assert result.steps == 2
    assert result.image_steps == 20


@pytest.mark.parametrize("kind", ["clip", "rescale"])
def test_norm_control_keeps_vectors_as_long_as_words_are(
    kind: str, model: TextToImageModel, images: torch.Tensor
) -> None:
    """At most the vocabulary's largest, or exactly its mean."""
    token = replace(TOKEN, norm_control=kind)
    settings = replace(TRAIN, learning_rates=(50.0,), max_steps=3)
    result = train(model, images, None, settings, token=token)
    lengths = model.text_encoders[0].get_input_embeddings().weight.norm(dim=1)
    ours = result.embedding.parts[0].norm(dim=1)
    if kind == "clip":
        assert (ours <= lengths.max() * 1.0001).all()
    else:
        torch.testing.assert_close(ours, lengths.mean().expand(2))


def test_a_rate_far_too_high_stops_with_step_and_cause(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """What overflowed, when, and what to do about it."""
    settings = replace(TRAIN, learning_rates=(1e3,), weight_decay=1e3, max_steps=50)
    with pytest.raises(
        TrainingError,
        match=r"stopped at step \d+: the \w+ is not finite. Lower the learning rate \(it was 1",
    ):
        train(model, images, None, settings, token=replace(TOKEN, norm_control="none"))


def test_an_initial_embedding_that_is_not_finite_is_named(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """The start is checked before any step is made."""
    with pytest.raises(TrainingError, match="initial adapter of <t> is not finite"):
        train(model, images, init=Embedding("<t>", (torch.full((2, 32), torch.inf),)))


def test_gradient_checkpointing_changes_nothing_but_memory(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """The same vectors, and the model is back in evaluation mode afterwards."""
    settings = replace(TRAIN, max_steps=2)
    plain = train(model, images, None, settings)
    checkpointed = train(model, images, None, replace(settings, gradient_checkpointing=True))
    assert torch.equal(plain.embedding.parts[0], checkpointed.embedding.parts[0])
    assert not model.unet.training
    assert not model.text_encoders[0].training


def test_own_captions_must_be_there(model: TextToImageModel, images: torch.Tensor) -> None:
    """captions: pool without captions is refused with the remedy."""
    with pytest.raises(TrainingError, match="needs a caption for each of the 10 images"):
        train(model, images, settings=replace(TRAIN, captions="pool"))
    both = replace(TRAIN, captions="both", max_steps=2, caption_dropout=0.3, horizontal_flip=True)
    train(model, images, None, both, captions=["a boot"] * 10)


def test_no_image_is_an_error(model: TextToImageModel, images: torch.Tensor) -> None:
    """An empty X_T cannot be trained on."""
    with pytest.raises(TrainingError, match="X_T is empty"):
        train(model, images[:0])


def test_an_embedding_of_another_width_is_refused(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """Before anything is computed."""
    with pytest.raises(EmbeddingError, match="needs width 32"):
        train(model, images, init=Embedding("<t>", (torch.zeros(2, 1024),)))


class Killed(BaseException):
    """Stands in for whatever ends the process: nothing of ours catches it."""


@pytest.mark.parametrize("kill_at", [2, 4, 6])
def test_a_resumed_training_equals_an_undisturbed_one(
    kill_at: int, model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """Vectors, curve and schedule, bit for bit, wherever it was interrupted."""

    def dies(embedding: Embedding, step: int) -> PhiValue:
        if step == kill_at:
            raise Killed
        return rising_phi(embedding, step)

    store = FolderCheckpointStore(tmp_path)
    with pytest.raises(Killed):
        train(model, images, dies, checkpoint=store)
    assert (store.read() is not None) == (kill_at > 3)
    resumed = train(model, images, checkpoint=store)
    undisturbed = train(model, images)
    assert torch.equal(resumed.embedding.parts[0], undisturbed.embedding.parts[0])
    assert resumed.curve == undisturbed.curve


@pytest.mark.parametrize("seed", range(3))
def test_nothing_goes_on_from_a_checkpoint_with_a_flipped_bit(
    seed: int,
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor from one whose step was edited: it is said, and what is learned is the undisturbed's."""
    store = FolderCheckpointStore(tmp_path)
    undisturbed = train(model, images, checkpoint=store)
    whole = store.read()
    assert whole is not None
    edited = whole.replace(rb"\"step\": 8}", rb"\"step\": 6}")
    assert edited != whole
    store.write(edited if seed == 0 else flipped(whole, seed))
    again = train(model, images, checkpoint=store)
    assert torch.equal(again.embedding.parts[0], undisturbed.embedding.parts[0])
    assert again.curve == undisturbed.curve
    said = capsys.readouterr().out
    assert f"The training checkpoint ({store.path}) is damaged" in said
    assert "this cycle starts at step 0." in said


def test_a_finished_training_is_not_done_again(
    model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """Its checkpoint gives the result without a step."""
    store = FolderCheckpointStore(tmp_path)
    first = train(model, images, checkpoint=store)

    def never(embedding: Embedding, step: int) -> PhiValue:
        raise AssertionError("φ was evaluated again")

    again = train(model, images, never, checkpoint=store)
    assert torch.equal(again.embedding.parts[0], first.embedding.parts[0])
    assert again.curve == first.curve


def test_a_checkpoint_of_another_training_is_refused(
    model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """What differs is named; nothing is restarted silently."""
    store = FolderCheckpointStore(tmp_path)
    short = replace(TRAIN, max_steps=3)
    train(model, images, None, short, checkpoint=store)
    before = store.read()
    with pytest.raises(
        TrainingError, match=r"train.batch_size \(checkpoint 4, now 2\). Put that back"
    ):
        train(model, images, None, replace(short, batch_size=2), checkpoint=store)
    with pytest.raises(TrainingError, match=r"what differs: images \(checkpoint \w+, now \w+\)"):
        train(model, images.flip(0), None, short, checkpoint=store)
    assert store.read() == before


SCRIPT = """
import sys, torch
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.base_model import load_text_to_image
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.trainer import train_cycle
from coti.scores.formulas import PhiValue
from coti.settings import *
torch.set_num_threads(1)
model = load_text_to_image(ModelSettings(base_model=sys.argv[1], device="cpu"))
token = TokenSettings(placeholder_token="<t>", initializer="shoe", num_vectors=2)
generator = torch.Generator().manual_seed(3)
images = torch.randint(0, 256, (10, 3, 32, 32), generator=generator, dtype=torch.uint8)
settings = TrainSettings(batch_size=4, max_steps=60, phi_every=6, learning_rates=(0.05,),
                         checkpoint_every=int(sys.argv[3]))
store = FolderCheckpointStore(sys.argv[2])

def phi(embedding, step):
    print("step", step, flush=True)
    return PhiValue(step / 10, 5.0, 5.0)

result = train_cycle(model, images, None, Embedding.initial(model, token), settings,
                     ScheduleSettings(dynamic=False), phi, 0, store, token=token)
result.embedding.save(sys.argv[2] + "/embedding.safetensors")
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_when_started_again(
    model_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """A real process, killed for real mid-training, ends with the undisturbed run's bytes.

    SIGKILL leaves the last regular checkpoint; SIGTERM one of its own, where none is due.
    """

    def words(folder: Path, every: int) -> list[str]:
        return ["-c", SCRIPT, str(model_folder()), str(folder), str(every)]

    def tensor(folder: Path) -> torch.Tensor:
        return Embedding.load(folder / "embedding.safetensors").parts[0]

    here, env = Path.cwd(), {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    undisturbed = tmp_path / "undisturbed"
    assert warm_start().run(words(undisturbed, 5), here, env).returncode == 0
    for number, every in ((signal.SIGKILL, 5), (signal.SIGTERM, 1000)):
        folder = tmp_path / number.name
        checkpoint = folder / "checkpoint.safetensors"
        disturbed = warm_start().start(words(folder, every), here, env)
        deadline = time.monotonic() + 300
        while "step 6\n" not in disturbed.said():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert checkpoint.exists() == (number == signal.SIGKILL)
        assert disturbed.kill(number) == -number
        disturbed.end()
        assert not (folder / "embedding.safetensors").exists()
        with safe_open(checkpoint, "pt") as file:
            step = json.loads(file.metadata()["state"])["step"]
        assert 5 <= step < 60
        assert warm_start().run(words(folder, every), here, env).returncode == 0
        assert torch.equal(tensor(folder), tensor(undisturbed))
