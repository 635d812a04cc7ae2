from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from coti.core.errors import TrainingError
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.processes import Processes
from tests.warm_start import Started, warm_start

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import sys, torch
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.base_model import load_text_to_image
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.trainer import train_cycle
from coti.scores.formulas import PhiValue
from coti.settings import *
torch.set_num_threads(1)
folder, out, accumulate, stop = sys.argv[1:]
model = load_text_to_image(ModelSettings(base_model=folder, device="cpu", dtype="float32"))
token = TokenSettings(placeholder_token="<t>", initializer="shoe", num_vectors=2)
images = torch.randint(0, 256, (10, 3, 32, 32), generator=torch.Generator().manual_seed(3),
                       dtype=torch.uint8)
settings = TrainSettings(batch_size=2, gradient_accumulation_steps=int(accumulate), max_steps=30,
                         checkpoint_every=10, phi_every=10, learning_rates=(0.05, 0.01))
evaluated = []
def phi(embedding, step):
    evaluated.append(step)
    return PhiValue(5.0 - step / 10, 5.0, 5.0)
store = FolderCheckpointStore(out)
result = train_cycle(model, images, None, Embedding.initial(model, token), settings,
                     ScheduleSettings(dynamic=True, stop=stop, dvar_window=4, dvar_threshold=0.5),
                     phi, 0, store, token=token)
import os
rank = os.environ.get("RANK", "0")
assert bool(evaluated) == (rank == "0"), evaluated
result.embedding.save(f"{out}/rank{rank}.safetensors")
print(result.image_steps, result.curve[-1]["stage"])
"""


def test_alone_nothing_is_shared() -> None:
    """One process: means, broadcasts and agreements are what was given."""
    group = Processes()
    tensor = torch.arange(3.0)
    group.average([tensor])
    assert (group.rank, group.count, group.is_main) == (0, 1, True)
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    assert group.from_main(lambda: 7) == 7
    assert group.any(True)
    assert not group.any(False)


def test_one_process_where_several_were_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """accelerate starts one where it finds fewer than two GPUs, with this environment."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name in ("ACCELERATE_MIXED_PRECISION", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "no")
    with pytest.raises(TrainingError, match="Give --multi_gpu as well"):
        Processes()


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "told"), [("phi", "120 1"), ("dvar", "100 0")])
def test_two_processes_learn_what_one_learns(
    model_folder: Callable[..., Path], tmp_path: Path, stop: str, told: str
) -> None:
    """Real processes over gloo, as ``accelerate launch --cpu --multi_gpu --num_processes 2`` sets
    them up: the same effective batch gives the same vectors up to rounding, the same on both; φ is
    evaluated and the checkpoint written by the first alone. DVAR ends both at the same look, after
    25 of 30 steps."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def start(out: Path, accumulate: int, rank: int | None) -> Started:
        out.mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        if rank is not None:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        words = ["-c", SCRIPT, str(model_folder()), str(out), str(accumulate), stop]
        return warm_start().start(words, ROOT, {**environment, "PYTHONPATH": str(ROOT)})

    both = [start(tmp_path / "two", 1, rank) for rank in (0, 1)]
    codes, said = [each.wait(500) for each in both], [each.end() for each in both]
    assert codes == [0, 0], said
    alone = start(tmp_path / "one", 2, None)
    code, one = alone.wait(500), alone.end()
    assert code == 0, one
    assert {text.strip() for text, _ in (*said, one)} == {told}

    expected = Embedding.load(tmp_path / "one" / "rank0.safetensors").parts[0]
    first, second = (Embedding.load(tmp_path / "two" / f"rank{r}.safetensors") for r in (0, 1))
    assert torch.equal(first.parts[0], second.parts[0])
    torch.testing.assert_close(first.parts[0], expected, rtol=1e-3, atol=1e-4)
