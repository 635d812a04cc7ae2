"""``coti run`` beside ``zenml pipeline run coti_concept``: the same run, the same sentences."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from coti.loop.verdict import EXIT_CODES
from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _said(done: subprocess.CompletedProcess[str], path: Path) -> tuple[int, str]:
    """Its code and its last line, the run file's name apart."""
    return done.returncode, done.stderr.strip().splitlines()[-1].replace(str(path), "FILE")


@pytest.mark.parametrize(("key", "value"), [("sead", 1), ("pool", "data/nowhere")])
def test_a_wrong_run_ends_in_the_same_words(
    workspace: Workspace, tmp_path: Path, key: str, value: object
) -> None:
    """One line and the same exit code, before the run and in it, wherever the user stands."""
    path = workspace.config("wrong", **{key: value})
    expected = workspace.command("zenml", "pipeline", "run", "coti_concept", "-c", str(path))
    done = workspace.command("coti", "run", "-c", str(path), cwd=tmp_path, cold=True)
    assert _said(done, path) == _said(expected, path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_a_run_with_changes_is_the_run_of_a_file_that_has_them(workspace: Workspace) -> None:
    """It ends well, and that file then finds every step in the cache."""
    changes = {"controller": {"max_cycles": 0}, "strategy": "seeds", "seed": 3}
    path = workspace.config("plain", preset="bundled")
    said = ("--set", "controller.max_cycles=0", "--set", "strategy=seeds", "--seed", "3")
    done = workspace.command("coti", "run", "-c", str(path), *said, cold=True)
    # Two steps teach nothing, and the verdict says so.
    assert done.returncode in EXIT_CODES.values(), done.stdout[-3000:] + done.stderr[-3000:]
    assert "Registry    ankle-boot version" in done.stdout + done.stderr
    logs = set((workspace.root / ".coti" / "logs").glob("*.log"))
    workspace.run(workspace.config("changed", **changes))
    (new,) = set((workspace.root / ".coti" / "logs").glob("*.log")) - logs
    text = new.read_text(encoding="utf-8")
    assert "Step `train_cycle_0` has started" not in text
    assert "train_cycle" in text
