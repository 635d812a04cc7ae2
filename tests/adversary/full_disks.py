"""A disk that fills up at a byte that a seed chooses: one sentence, and later the same end.

Real file systems of a few kilobytes, in memory; only root may mount them.
"""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

from tests.adversary.kills import check_whole, training_undisturbed
from tests.coti.small_disk import small_disk
from tests.e2e.conftest import make_checkout

__all__ = ["attack", "attack_stack"]

_FREE = 64 << 20


def attack(dice: random.Random, folder: Path) -> list[str]:
    """A training whose embedding and checkpoints go to a disk too small: one sentence, nothing
    half-written, and the same embedding once there is room.
    """
    training, place = training_undisturbed(), folder / "disk"
    with small_disk(place, 4096 * dice.randint(1, 8)) as resize:
        end = _end(training.space.command(*training.words(place)))
        check_whole(place)
        resize(_FREE)
        training.check(place)
        assert not list(place.rglob("*.part"))
    return [end]


def attack_stack(dice: random.Random, folder: Path) -> list[str]:
    """`coti stack up` where ZenML's and MLflow's databases have no room, and then have."""
    space = make_checkout(folder, every=200)
    space.state = space.root / ".coti"
    with small_disk(space.state, 4096 * dice.randint(1, 600)) as resize:
        end = _end(space.command("coti", "stack", "up", "local"))
        resize(_FREE)
        done = space.command("coti", "stack", "up", "local")
        assert done.returncode == 0, done.stdout + done.stderr
        check_whole(space.state)
    return [end]


def _end(done: subprocess.CompletedProcess[str]) -> str:
    """Whether the disk was full; then nothing else is said, and how to go on is."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-3000:]
    if done.returncode == 0:
        return "room enough"
    assert done.returncode == 1, said[-3000:]
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert re.search("full|[Nn]o space|room|space", line), line
    return "full"
