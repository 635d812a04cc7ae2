"""One bit, flipped where a seed says: what a disk, a cable or memory does to a file one day."""

from __future__ import annotations

import random
import re
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.databases import STORE

if TYPE_CHECKING:
    from tests.adversary.trainings import Kept
    from tests.e2e.conftest import Workspace

__all__ = [
    "attack",
    "attack_run",
    "components",
    "files_of",
    "flip_bit",
    "flipped",
    "write_component",
]


def flipped(content: bytes, seed: int) -> bytes:
    """The content with one bit flipped."""
    place = random.Random(seed).randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def flip_bit(path: Path, seed: int) -> None:
    """Flip one bit of a file."""
    path.write_bytes(flipped(path.read_bytes(), seed))


def files_of(folder: Path) -> list[Path]:
    """The files below a folder that are not empty, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def attack(dice: random.Random, folder: Path) -> list[str]:
    """A file that a training keeps (checkpoint, latents, its pool's images, its embedding) has
    another bit: it is said, or nothing that was read differs.
    """
    kept = _kept()
    path = dice.choice(files_of(kept.folder))
    content, seed = path.read_bytes(), dice.getrandbits(32)
    (folder / "flipped").write_text(f"{path.name}, seed {seed}")
    try:
        path.write_bytes(flipped(content, seed))
        return [f"{path.parent.name}: {kept.check(path)}"]
    finally:
        kept.restore(path, content)


@cache
def _kept() -> Kept:
    from tests.adversary.lasting import lasting_folder
    from tests.adversary.trainings import Kept

    return Kept(lasting_folder())


def attack_run(dice: random.Random, folder: Path) -> list[str]:
    """A file that a run of the pipeline left, or what a component of the stack is told in ZenML's
    database, has another bit: the same command ends with the same embedding, registered once, or
    with one sentence.
    """
    space, wanted = _run()
    seed = dice.getrandbits(32)
    if in_database := dice.random() < 0.2:
        path = space.state / "zenml" / STORE
        name, content = dice.choice(sorted(components(path).items()))
        write_component(path, name, flipped(content, seed))
    else:
        there = [path for path in files_of(space.root / ".coti") if _is_state(path)]
        path = dice.choice(sorted(there, key=lambda path: re.sub(r"[0-9a-f-]{32,}", "", str(path))))
        name, content = "", path.read_bytes()
        path.write_bytes(flipped(content, seed))
    (folder / "flipped").write_text(f"{path} {name}, seed {seed}")
    words = ("zenml", "pipeline", "run", "coti_concept", "-c", str(space.root / "run.yaml"))
    try:
        done = space.command(*words)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said[-3000:]
        if done.returncode == 0:
            assert space.vectors() == wanted
            assert in_database or space.registered() == 1  # another bit of a path: another MLflow
        else:
            assert "Error: " in said, said[-3000:]
    finally:
        if in_database:
            write_component(path, name, content)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return ["the same embedding" if done.returncode == 0 else "one sentence"]


def components(database: Path) -> dict[str, bytes]:
    """What each component of a stack is told, by its type and name, as ZenML's database has it."""
    query = "SELECT type || ' ' || name, configuration FROM stack_component"
    with closing(sqlite3.connect(database)) as found:
        return dict(found.execute(query).fetchall())


def write_component(database: Path, name: str, configuration: bytes) -> None:
    """Tell a component of :func:`components` something else."""
    query = "UPDATE stack_component SET configuration = ? WHERE type || ' ' || name = ?"
    with closing(sqlite3.connect(database, timeout=30)) as found, found:
        assert found.execute(query, (configuration, name)).rowcount == 1


def _is_state(path: Path) -> bool:
    """Databases are SQLite's, but for :func:`components`; what commands said is read by nobody."""
    return path.suffix not in (".db", ".db-wal", ".db-shm", ".log") and "logs" not in path.parts


@cache
def _run() -> tuple[Workspace, bytes]:
    from tests.adversary.kills import SHORT
    from tests.adversary.lasting import lasting_folder
    from tests.e2e.conftest import make_workspace

    space = make_workspace(lasting_folder(), every=40)
    space.run(space.config("run", **SHORT))
    return space, space.vectors()
