"""kill -9 at moments that a seed chooses: what is kept is whole, the same command ends the same.

A training alone (`coti train`) takes seconds, a run of the pipeline a minute.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tests.adversary.lasting import lasting_folder
from tests.e2e.conftest import Workspace, make_checkout, make_workspace
from tests.e2e.learned import learned
from tests.warm_start import warm_start

__all__ = ["SHORT", "attack", "attack_run", "check_whole", "training_undisturbed"]

SHORT: dict[str, Any] = {
    "train": {"max_steps": 12, "phi_every": 6, "batch_size": 4, "checkpoint_every": 1},
    "generation": {"num_inference_steps": 2, "phi_images": 8, "cycle_images": 8},
    "controller": {"max_cycles": 0},
    "references": None,
}


def attack(dice: random.Random, folder: Path) -> list[str]:
    """A training killed at any moment: nothing half-written is left, the embedding is the same."""
    training = training_undisturbed()
    killed = kill_sometimes(training.space, training.words(folder), training.seconds, dice, 1)
    check_whole(folder)
    training.check(folder)
    _check_nothing_left(folder)
    return killed


def attack_run(dice: random.Random, folder: Path) -> list[str]:
    """The same with a run of the pipeline, and what is registered."""
    space = make_workspace(folder, every=40)
    words = ("zenml", "pipeline", "run", "coti_concept", "-c", str(space.config("run", **SHORT)))
    killed = kill_sometimes(space, words, _run_seconds(), dice, 3)
    check_whole(folder)
    space.run(space.root / "run.yaml")
    assert space.vectors() == learned(space, **SHORT)
    assert space.registered() == 1
    _check_nothing_left(folder)
    return killed


@cache
def _run_seconds() -> float:
    """What a run takes, in a workspace like those that are attacked."""
    space = make_workspace(lasting_folder(), every=40)
    started = time.monotonic()
    space.run(space.config("run", **SHORT))
    return time.monotonic() - started


class Training:
    """`coti train` on the bundled seeds, undisturbed: real, and small."""

    def __init__(self, folder: Path) -> None:
        self.space = make_checkout(folder, every=40)
        self._config = self.space.config("run", **SHORT)
        self._seeds = self.space.root / "assets" / "pools" / "ankle_boot" / "seeds"
        self._wanted = self._learned(folder / "undisturbed")
        # Not the first: that one waits for libraries, and what is killed later would have ended.
        started = time.monotonic()
        self._learned(folder / "again")
        self.seconds = time.monotonic() - started
        """That it takes."""

    def words(self, folder: Path) -> tuple[str, ...]:
        """The command; embedding and checkpoint go to ``folder``."""
        files = ("--output", str(folder / "boot.safetensors"), "--checkpoint", str(folder / "kept"))
        return ("coti", "train", str(self._seeds), "-c", str(self._config), *files)

    def check(self, folder: Path) -> None:
        """The same command, let run to its end, leaves the undisturbed one's file."""
        assert self._learned(folder) == self._wanted

    def _learned(self, folder: Path) -> bytes:
        done = self.space.command(*self.words(folder))
        assert done.returncode == 0, done.stderr
        return (folder / "boot.safetensors").read_bytes()


@cache
def training_undisturbed() -> Training:
    """One for all."""
    return Training(lasting_folder())


def kill_sometimes(
    space: Workspace, words: tuple[str, ...], seconds: float, dice: random.Random, kills: int
) -> list[str]:
    """Start a command so often and kill it within ``seconds``; whether it was still running."""
    ends = []
    for _ in range(kills):
        started = warm_start().start(space._script(words), space.root, space.env)
        code = started.wait(dice.uniform(0.0, seconds))
        if code is None:
            started.kill()
        started.end()
        ends.append("killed" if code is None else "ended before")
    return ends


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
