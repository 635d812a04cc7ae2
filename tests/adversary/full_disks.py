"""A disk that fills up at a byte that a seed chooses: one sentence, and later the same end.

Real file systems of a few kilobytes, in memory; only root may mount them.
"""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

from tests.adversary.kills import Training, check_whole
from tests.coti.small_disk import small_disk
from tests.e2e.conftest import make_checkout

__all__ = ["fill_stack", "fill_training"]

_FREE = 64 << 20


def fill_training(seed: int, folder: Path, times: int) -> int:
    """A training whose embedding and checkpoints go to a disk too small; how often it was.

    Raises:
        AssertionError: a traceback, half a file, or another embedding once there is room.
    """
    chance, full = random.Random(seed), 0
    training = Training(make_checkout(folder, every=40), folder)
    _, wanted = training.undisturbed(folder / "undisturbed")
    for number in range(times):
        place = folder / f"disk{number}"
        with small_disk(place, 4096 * chance.randint(1, 8)) as resize:
            done = training.space.command(*training.words(place))
            full += _is_one_sentence(done)
            check_whole(place)
            resize(_FREE)
            done = training.space.command(*training.words(place))
            assert done.returncode == 0, done.stderr
            assert (place / "boot.safetensors").read_bytes() == wanted
            assert not list(place.rglob("*.part"))
    return full


def fill_stack(seed: int, folder: Path, times: int) -> int:
    """`coti stack up` where ZenML's and MLflow's databases have no room; how often they had not."""
    chance, full = random.Random(seed), 0
    for number in range(times):
        space = make_checkout(folder / str(number), every=200)
        space.state = space.root / ".coti"
        with small_disk(space.state, 4096 * chance.randint(1, 600)) as resize:
            full += _is_one_sentence(space.command("coti", "stack", "up", "local"))
            resize(_FREE)
            done = space.command("coti", "stack", "up", "local")
            assert done.returncode == 0, done.stdout + done.stderr
            check_whole(space.state)
    return full


def _is_one_sentence(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the disk was full; then nothing else is said, and how to go on is."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-3000:]
    if done.returncode == 0:
        return False
    assert done.returncode == 1, said[-3000:]
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert re.search("full|[Nn]o space|room|space", line), line
    return True
