"""Every random draw has a seed of its own, derived from the run's seed and what it is for."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["derived_seed", "generator"]


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**63) for one purpose, such as ``derived_seed(0, "train", 3)``.

    Two purposes never share a stream of random numbers, and adding a draw to one leaves the
    others as they were.
    """
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator seeded with :func:`derived_seed`; the same on every machine."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
