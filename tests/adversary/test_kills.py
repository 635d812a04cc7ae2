"""Killed or out of room at any moment: what is kept is whole, the same command ends the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.adversary.full_disks import fill_stack, fill_training
from tests.adversary.kills import kill_run, kill_training

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TIMES = int(os.environ.get("ATTACK_KILLS", "1"))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")


def test_a_killed_training_ends_the_same(tmp_path: Path, attack_seed: int) -> None:
    """Bit for bit, with nothing left over."""
    kill_training(attack_seed, tmp_path, 2 * TIMES)


@pytest.mark.skipif(TIMES < 2, reason="a minute each: with ATTACK_KILLS=2 or more")
def test_a_killed_run_ends_the_same(tmp_path: Path, attack_seed: int) -> None:
    """Also what is registered."""
    kill_run(attack_seed, tmp_path, TIMES)


@needs_root
def test_a_training_on_a_full_disk(tmp_path: Path, attack_seed: int) -> None:
    """One sentence, then the undisturbed one's bytes."""
    fill_training(attack_seed, tmp_path, TIMES)


@needs_root
def test_a_stack_on_a_full_disk(tmp_path: Path, attack_seed: int) -> None:
    """SQLite's own refusal is a sentence as well."""
    fill_stack(attack_seed, tmp_path, TIMES)
