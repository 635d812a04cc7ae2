"""kill -9 at several points; the same command again ends with the same embedding, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Workspace, make_workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

POINTS = {
    "inside ingestion": lambda log: "Step `ingest_pool` has started" in log,
    "inside training": lambda log: "Step `train_cycle` has started" in log,
    "between steps": lambda log: "Step `evaluate_cycle` has finished" in log,
    "inside a later training": lambda log: "Step `train_cycle_2` has started" in log,
    "inside registration": lambda log: "Step `register_embedding` has started" in log,
    "after registration": lambda log: "Step `register_embedding` has finished" in log,
}


def test_a_killed_run_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Killed six times, run a seventh time: the tensor's bytes are the undisturbed run's.

    It is registered and promoted once, though registration began three times.
    """
    calm = make_workspace(tmp_path_factory.mktemp("calm"))
    calm.run(calm.config("run", seed=3))
    expected = _embedding(calm)

    killed = make_workspace(tmp_path_factory.mktemp("killed"))
    config = killed.config("run", seed=3)
    for name, when in POINTS.items():
        assert killed.run_and_kill(config, when), f"it ended before it could be killed {name}"
        assert not (killed.root / "outputs" / "latest").exists()
    killed.run(config)
    assert _embedding(killed) == expected
    status = killed.cached_steps()
    assert status["train_cycle"] == "cached"
    assert status["ingest_pool"] == "cached"
    assert killed.registered() == 1
    assert killed.audit() == [("promote", 1)]


def _embedding(workspace: Workspace) -> bytes:
    path: Path = workspace.latest() / "learned_embeds.safetensors"
    return path.read_bytes()
