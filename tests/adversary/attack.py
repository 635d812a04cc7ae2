"""Every attack for its share of the time: ``python -m tests.adversary.attack --seed 7``.

Each input comes from a number of its own, drawn from the seed, in a folder of its own below
``outputs/attack/SEED/``; folders of inputs that failed stay, with what was said and the command
that repeats them. A worker process does the work, so that a crash or a hang is a failure like any
other.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest
from tqdm import tqdm

import tests.conftest  # noqa: F401 - its folders, outside of pytest, too

__all__ = ["KINDS", "Kind", "main", "run_one"]

ROOT = Path(__file__).resolve().parents[2]


class Kind(NamedTuple):
    """A kind of attack."""

    function: str
    """``module:name`` of ``attack(dice, folder)``: it makes inputs from the dice in the empty
    folder, raises where something does not hold, and returns how each of them ended."""
    share: float
    """Of the time, relative to the others'."""
    short: int
    """Calls in ``make test``."""
    timeout: float = 120.0
    """Seconds after which a call hangs."""


KINDS = {
    "files": Kind("files:attack", 3, 120),
    "containers": Kind("containers:attack", 4, 40),
    "strings": Kind("strings:attack", 3, 60),
    "urls": Kind("urls:attack", 2, 6),
    "answers": Kind("urls:attack_by_answers", 1, 6),
    "swaps": Kind("swaps:attack", 3, 5),
    "flips": Kind("bit_flips:attack", 3, 15),
    "flips in a run": Kind("bit_flips:attack_run", 3, 0, 900),
    "kills": Kind("kills:attack", 3, 1, 300),
    "kills of a run": Kind("kills:attack_run", 3, 0, 900),
    "full disks": Kind("full_disks:attack", 1, 1, 300),
    "full disks of a stack": Kind("full_disks:attack_stack", 1, 1, 300),
    "contention": Kind("contention:attack", 2, 1, 300),
}


def run_one(kind: str, number: int, folder: Path) -> list[str]:
    """The inputs of a number; how each ended."""
    module, _, name = KINDS[kind].function.partition(":")
    function = getattr(importlib.import_module(f"tests.adversary.{module}"), name)
    folder.mkdir(parents=True)
    ends: list[str] = function(random.Random(number), folder)
    return ends


def main() -> int:
    """The exit code: 1 if an input failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all inputs")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all kinds together")
    parser.add_argument("--only", action="append", choices=KINDS, help="a kind, or several")
    parser.add_argument("--repeat", type=int, help="the one input of this number, of --only")
    chosen = parser.parse_args()
    kept = ROOT / "outputs" / "attack" / str(chosen.seed)
    kinds: list[str] = chosen.only or list(KINDS)
    if chosen.repeat is not None:
        folder = kept / kinds[0] / f"{chosen.repeat} again"
        shutil.rmtree(folder, ignore_errors=True)
        print(*run_one(kinds[0], chosen.repeat, folder), sep="\n")
        return 0
    shares = sum(KINDS[kind].share for kind in kinds)
    table = []
    for kind in kinds:
        seconds = 60 * chosen.minutes * KINDS[kind].share / shares
        ends, failures = _attack(kind, chosen.seed, kept / kind, seconds)
        table.append((kind, ends.total() + failures, failures, ends))
    print(f"seed {chosen.seed}\n{'kind':24}{'inputs':>8}{'failures':>10}  ends")
    for kind, inputs, failures, ends in table:
        often = ", ".join(f"{end} {times}" for end, times in ends.most_common(4))
        print(f"{kind:24}{inputs:8}{failures:10}  {often}")
    failed = sum(failures for _, _, failures, _ in table)
    print(f"{'sum':24}{sum(inputs for _, inputs, _, _ in table):8}{failed:10}")
    if failed:
        print(f"Failing inputs, and what repeats each: {kept}")
    return 1 if failed else 0


def _attack(kind: str, seed: int, kept: Path, seconds: float) -> tuple[Counter[str], int]:
    """One input after the other until the time is up; how they ended, and how many failed."""
    dice, ends, failures = random.Random(f"{seed} {kind}"), Counter[str](), 0
    shutil.rmtree(kept, ignore_errors=True)
    worker, until = _Worker(kind), time.monotonic() + seconds
    with closing(worker), tqdm(desc=kind, unit=" inputs", mininterval=1.0) as progress:
        found: list[str] | str = "not yet"
        while found and time.monotonic() < until:
            number = dice.getrandbits(32)
            folder = kept / str(number)
            found = worker.ask(number, folder)  # nothing: it can't be done on this machine
            if isinstance(found, str):
                failures += 1
                again = f"{sys.executable} -m tests.adversary.attack --seed {seed} "
                again += f"--only '{kind}' --repeat {number}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "failure.txt").write_text(f"{again}\n\n{found}", errors="replace")
                progress.write(f"{kind}: {again}: {found.strip().splitlines()[-1][:200]}")
            else:
                ends.update(found)
                shutil.rmtree(folder)
            progress.update(len(found) if isinstance(found, list) else 1)
            progress.set_postfix(failures=failures)
    return ends, failures


class _Worker:
    """A process that does a kind's work, another one after a crash or a hang."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._start()

    def ask(self, number: int, folder: Path) -> list[str] | str:
        """How the inputs ended, or what went wrong."""
        try:
            self._connection.send((number, folder))
            if self._connection.poll(KINDS[self._kind].timeout):
                found: list[str] | str = self._connection.recv()
                return found
            said = f"It hangs: no end after {KINDS[self._kind].timeout:g} s."
        except (EOFError, OSError):
            self._process.join(10)
            said = f"It crashed: exit code {self._process.exitcode}."
        self._kill()
        self._start()
        return said

    def close(self) -> None:
        """Let it tidy up and end."""
        self._connection.close()
        self._process.join(60)
        self._kill()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(self._kind, theirs))
        self._process.start()
        theirs.close()
        self._connection.recv()  # its imports do not count as a hang

    def _kill(self) -> None:
        """With the servers that it has started."""
        if self._process.is_alive() and self._process.pid:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.join()


def _work(kind: str, connection: Connection) -> None:
    import logging

    os.setsid()
    logging.disable(logging.WARNING)
    importlib.import_module(f"tests.adversary.{KINDS[kind].function.partition(':')[0]}")
    connection.send("ready")
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        try:
            connection.send(run_one(kind, *asked))
        except pytest.skip.Exception:
            connection.send([])
        except Exception:
            connection.send(traceback.format_exc())


if __name__ == "__main__":
    sys.exit(main())
