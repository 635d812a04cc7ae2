"""The generators' short form: every pool is read without a traceback, and nothing of it is lost."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

import pytest

from coti.core.errors import PoolError
from coti.core.file_rules import kind_of_file
from coti.pool.entry import Entry
from coti.pool.open_source import fingerprint_source, open_source
from coti.pool.reasons import Rejected
from coti.settings import PoolSettings
from tests.adversary.containers import hostile_containers
from tests.adversary.strings import hostile_strings


def read(root: Path) -> tuple[str, dict[str, Entry]] | None:
    """Kind and entries of a pool; None where one sentence refuses it."""
    try:
        source = open_source(str(root), PoolSettings())
        entries = list(source.entries())
    except PoolError as error:
        refusal = str(error)
    else:
        found = {entry.name: entry for entry in entries}
        assert len(found) == len(entries)
        return source.kind, found
    assert "\n" not in refusal
    return None


@pytest.mark.parametrize("seed", range(4))
def test_hostile_containers_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Each pool is entries with one reason or bytes, or one sentence; every image file of a folder
    is the subject of a row, nothing is written, and two readings see the same.
    """
    for _, root in zip(range(30), hostile_containers(random.Random(seed), tmp_path), strict=False):
        before = sorted(os.walk(root))
        pool = read(root)
        if pool is None:
            continue
        kind, found = pool
        for entry in found.values():
            f"{entry.name}{entry.caption}{entry.detail}{entry.extra}".encode()
            assert bool(entry.reason) != (entry.read is not None)
            if entry.read is not None:
                with contextlib.suppress(Rejected):
                    entry.read()
        for path in root.rglob("*.png"):
            name = path.relative_to(root).as_posix()
            if kind != "img2dataset" and name.isascii():
                assert name in found
                assert kind_of_file(name) != "system" or found[name].reason == "other_file"
        assert fingerprint_source(str(root)) == fingerprint_source(str(root))
        assert sorted(os.walk(root)) == before


def test_the_same_seed_makes_the_same(tmp_path: Path) -> None:
    """Containers and strings: a finding can be repeated."""
    made = []
    for name in ("a", "b"):
        roots = hostile_containers(random.Random(5), tmp_path / name)
        made.append(
            [
                {str(p.relative_to(r)): p.is_file() and p.read_bytes() for p in r.rglob("[0-9x]*")}
                for r in (next(roots) for _ in range(5))
            ]
        )
    assert made[0] == made[1]
    strings = [hostile_strings(random.Random(1)) for _ in "ab"]
    assert [next(strings[0]) for _ in range(50)] == [next(strings[1]) for _ in range(50)]
