"""kill -9 at moments that a seed chooses: what is kept is whole, the same command ends the same.

A training alone (`coti train`) takes seconds, a run of the pipeline a minute.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tests.e2e.conftest import Workspace, make_checkout, make_workspace
from tests.e2e.learned import learned
from tests.warm_start import warm_start

__all__ = ["SHORT", "Training", "check_whole", "kill_run", "kill_sometimes", "kill_training"]

SHORT: dict[str, Any] = {
    "train": {"max_steps": 12, "phi_every": 6, "batch_size": 4, "checkpoint_every": 1},
    "generation": {"num_inference_steps": 2, "phi_images": 8, "cycle_images": 8},
    "controller": {"max_cycles": 0},
    "references": None,
}


def kill_training(seed: int, folder: Path, kills: int) -> int:
    """Kill a training so often, at any moment of it; returns how often it was still running.

    Raises:
        AssertionError: something half-written is left, or the embedding is another one.
    """
    training = Training(make_checkout(folder, every=40), folder)
    seconds, wanted = training.undisturbed(folder / "undisturbed")
    killed = kill_sometimes(training.space, training.words(folder), seconds, seed, kills)
    check_whole(folder)
    done = training.space.command(*training.words(folder))
    assert done.returncode == 0, done.stderr
    assert (folder / "boot.safetensors").read_bytes() == wanted
    _check_nothing_left(folder)
    return killed


def kill_run(seed: int, folder: Path, kills: int, seconds: float = 60.0) -> int:
    """The same with a run of the pipeline, of which ``seconds`` is about the length."""
    space = make_workspace(folder, every=40)
    words = ("zenml", "pipeline", "run", "coti_concept", "-c", str(space.config("run", **SHORT)))
    killed = kill_sometimes(space, words, seconds, seed, kills)
    check_whole(folder)
    space.run(space.root / "run.yaml")
    assert space.vectors() == learned(space, **SHORT)
    assert space.registered() == 1
    _check_nothing_left(folder)
    return killed


class Training:
    """`coti train` on the bundled seeds: real, and small."""

    def __init__(self, space: Workspace, folder: Path) -> None:
        self.space = space
        self._config = space.config("run", **SHORT)
        self._seeds = space.root / "assets" / "pools" / "ankle_boot" / "seeds"

    def words(self, folder: Path) -> tuple[str, ...]:
        """The command; embedding and checkpoint go to ``folder``."""
        files = ("--output", str(folder / "boot.safetensors"), "--checkpoint", str(folder / "kept"))
        return ("coti", "train", str(self._seeds), "-c", str(self._config), *files)

    def undisturbed(self, folder: Path) -> tuple[float, bytes]:
        """How long it takes, and the file that it leaves."""
        import time

        folder.mkdir()
        started = time.monotonic()
        done = self.space.command(*self.words(folder))
        assert done.returncode == 0, done.stderr
        return time.monotonic() - started, (folder / "boot.safetensors").read_bytes()


def kill_sometimes(
    space: Workspace, words: tuple[str, ...], seconds: float, seed: int, kills: int
) -> int:
    """Start a command so often and kill it within ``seconds``; how often it was still running."""
    chance, killed = random.Random(seed), 0
    for _ in range(kills):
        started = warm_start().start(space._script(words), space.root, space.env)
        if started.wait(chance.uniform(0.0, seconds)) is None:
            started.kill()
            killed += 1
        started.end()
    return killed


def check_whole(folder: Path) -> None:
    """Every file that a reader would take is whole, every database, too."""
    for path in folder.rglob("*"):
        if path.is_symlink() or "assets" in path.parts:
            continue
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                assert list(file.keys()), path
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as found:
                assert found.execute("PRAGMA quick_check").fetchone() == ("ok",), path


def _check_nothing_left(folder: Path) -> None:
    assert not list(folder.rglob("*.part"))
