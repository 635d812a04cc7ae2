"""kill -9 at several points; the same command again ends with the same embedding, bit for bit."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import partial

import pytest
from safetensors import safe_open

from tests.e2e.conftest import TINY, Workspace, make_workspace
from tests.e2e.learned import learned

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

POINTS: dict[str, Callable[[Workspace, str], object]] = {
    "inside training": lambda space, _log: space.checkpoints(),
    "between steps": lambda _space, log: "Step `judge_cycle_0` has finished" in log,
    "inside registration": lambda _space, log: "Step `register_embedding` has started" in log,
}


def test_a_killed_run_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Killed three times, run a fourth time: the tensor's bytes are the undisturbed run's.

    It is registered and promoted once, though registration began twice.
    """
    changes = {"seed": 3, "controller": {"max_cycles": 0}}
    killed = make_workspace(tmp_path_factory.mktemp("killed"))
    config = killed.config("run", **changes)
    for name, when in POINTS.items():
        reached = partial(when, killed)
        assert killed.run_and_kill(config, reached), f"it ended before it could be killed {name}"
        assert not (killed.root / "outputs" / "latest").exists()
        if name == "inside training":
            (kept,) = killed.checkpoints()
    killed.run(config)
    assert not kept.exists()
    assert killed.vectors() == learned(killed, **changes)
    status = killed.cached_steps()
    assert status["train_cycle_0"] == "cached"
    assert status["ingest_pool"] == "cached"
    assert killed.registered() == 1
    assert killed.audit() == [("promote", 1)]
    assert killed.query(STATUSES) == ["failed"] * len(POINTS) + ["completed"]


STATUSES = (
    "import json; from zenml.client import Client\n"
    "runs = Client().list_pipeline_runs(sort_by='created').items\n"
    "print(json.dumps([run.status.value for run in runs]))"
)


def test_a_spot_node_that_is_taken_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SIGTERM in a step leaves a checkpoint between the regular ones; the command goes on there.

    It does so with less memory as well: gradient checkpointing changes nothing in what is learned.
    """
    training = {"max_steps": 120, "phi_every": 60, "batch_size": 4, "checkpoint_every": 40}
    changes = {"seed": 4, "train": training, "controller": {"max_cycles": 0}}
    moved = make_workspace(tmp_path_factory.mktemp("moved"))
    files = moved.checkpoints
    assert moved.run_and_kill(
        moved.config("run", **changes), lambda _log: bool(files()), signal.SIGTERM
    )
    (kept,) = files()
    with safe_open(kept, "pt") as file:
        step = json.loads(file.metadata()["state"])["step"]
    assert 40 < step < 120
    assert step % 40
    other = {
        **changes,
        "train": {**training, "max_steps": 2},
        "generation": {**TINY["generation"], "guidance_scale": 1.5},
    }
    told = moved.run(moved.config("other", **other))
    said = told.stdout + told.stderr
    assert f"at step {step}, does not fit; what differs: " in said
    assert "generation.guidance_scale (checkpoint 1.0, now 1.5)" in said
    (still,) = files()
    assert still == kept
    frugal = {**changes, "train": {**training, "gradient_checkpointing": True}}
    done = moved.run(moved.config("run", **frugal))
    assert moved.vectors() == learned(moved, **changes)
    assert not files()
    assert f"goes on from its checkpoint of step {step}." in done.stdout + done.stderr
