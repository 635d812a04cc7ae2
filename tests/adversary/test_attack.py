"""The attacks' short form; `ATTACK_SEED=7 pytest tests/adversary` makes other inputs."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest

from tests.adversary.attack import KINDS, run_one
from tests.adversary.containers import hostile_containers
from tests.adversary.strings import hostile_strings

SEED = int(os.environ.get("ATTACK_SEED", "0"))
PROCESSES = ("kills", "full disks", "full disks of a stack")
"""They run commands."""


def _attacked(kind: str, folder: Path) -> set[str]:
    """How the short form's inputs ended."""
    dice = random.Random(f"{SEED} {kind}")
    ends: set[str] = set()
    for _ in range(KINDS[kind].short):
        number = dice.getrandbits(32)
        ends.update(run_one(kind, number, folder / str(number)))
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PROCESSES])
def test_an_attack_in_short(kind: str, tmp_path: Path) -> None:
    """What must hold stands where the kind's function is; here: inputs end in several ways."""
    ends = _attacked(kind, tmp_path)
    least = {
        "files": {"image", "corrupt", "truncated"},
        "containers": {"folder", "webdataset", "img2dataset", "refused"},
        "urls": {"image", "download_refused", "download_failed"},
        "answers": {"bytes", "opt_out", "wrong_content_type", "download_failed"},
    }
    assert least.get(kind, set()) <= ends


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("kind", PROCESSES)
def test_an_attack_on_commands_in_short(kind: str, tmp_path: Path) -> None:
    """Killed, or out of room."""
    _attacked(kind, tmp_path)


def test_the_same_seed_makes_the_same(tmp_path: Path) -> None:
    """Containers and strings: a finding can be repeated."""
    made = []
    for name in ("a", "b"):
        roots = hostile_containers(random.Random(5), tmp_path / name)
        made.append(
            [
                {str(p.relative_to(r)): p.is_file() and p.read_bytes() for p in r.rglob("[0-9x]*")}
                for r in itertools.islice(roots, 5)
            ]
        )
    assert made[0] == made[1]
    strings = [hostile_strings(random.Random(1)) for _ in "ab"]
    assert [next(strings[0]) for _ in range(50)] == [next(strings[1]) for _ in range(50)]
