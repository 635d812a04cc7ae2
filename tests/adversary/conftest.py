"""Attacks with a seed: `ATTACK_SEED=7 pytest tests/adversary`."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def attack_seed() -> int:
    """The same one unless another is asked for."""
    return int(os.environ.get("ATTACK_SEED", "0"))
