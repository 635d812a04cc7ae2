"""A copied repository goes on by itself, and writes nothing into the one that it came from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.coti.core.test_whole_files import tree
from tests.e2e.conftest import Workspace, make_checkout
from tests.warm_start import warm_start

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT: dict[str, Any] = {
    "train": {"max_steps": 2, "phi_every": 2, "batch_size": 4, "checkpoint_every": 2},
    "generation": {"num_inference_steps": 2, "phi_images": 8, "cycle_images": 8},
    "controller": {"max_cycles": 0},
    "references": None,
}


def test_a_copy_runs_from_its_own_cache_and_leaves_the_first_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """State in `.coti`, as `make install` has it, first made by two commands at once.

    The copy's embedding can be exported. What a copied environment would write into the first one,
    and what a damaged database would stop later, is one sentence before anything is computed.
    """
    folder = tmp_path_factory.mktemp("moved")
    root = make_checkout(folder / "first", every=40).root
    first = Workspace(root, root / ".coti")
    both = [warm_start().start(first._script(UP), root, first.env) for _ in range(2)]
    codes = [each.wait(600) for each in both]
    said = [each.end() for each in both]
    assert codes == [0, 0], said
    assert (root / ".coti").stat().st_mode & 0o077 == 0
    first.run(first.config("run", **SHORT))
    second = Workspace(folder / "second" / "checkout", folder / "second" / "checkout" / ".coti")
    shutil.copytree(root, second.root, symlinks=True)
    before = _kept(root)

    borrowed = Workspace(second.root, root / ".coti")  # as a copied .venv would have it
    refused = borrowed.command(*UP)
    assert refused.returncode == 1
    assert f"belongs to the repository in {root}, not to this one" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert _kept(root) == before

    done = second.command(*UP)
    assert done.returncode == 0, done.stderr
    assert f"Note: state from {root}" in done.stderr
    second.run(second.root / "run.yaml")
    assert _kept(root) == before
    assert second.cached_steps()["train_cycle_0"] == "cached"
    assert second.latest().parent == second.root / "outputs"
    exported = second.root / "exported"
    done = second.command("coti", "registry", "export", "ankle boot", "1", "--output", "exported")
    assert done.returncode == 0, done.stderr
    assert (exported / "learned_embeds.safetensors").is_file()
    assert _kept(root) == before

    database = second.state / "mlflow.db"
    database.write_bytes(b"\x99" * 8192)
    for words in (RUN, ("coti", "registry", "list"), ("coti", "stack", "check")):
        refused = second.command(*words)
        said = (refused.stdout + refused.stderr).replace("\n", "")
        assert refused.returncode == 1
        assert f"{database}, MLflow's database, is damaged" in said
        assert "Traceback" not in said


RUN = ("zenml", "pipeline", "run", "coti_concept", "-c", "run.yaml")
UP = ("coti", "stack", "up", "local")


def _kept(root: Path) -> dict[str, tuple[int, bytes]]:
    """All that a repository keeps: not what commands say, nor SQLite's shared memory."""
    passing = (".coti/logs", ".db-shm")
    return {name: was for name, was in tree(root).items() if not any(p in name for p in passing)}
