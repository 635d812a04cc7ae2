"""Held-out references, whole or in two halves: one to choose settings by, one to publish by."""

from __future__ import annotations

from pathlib import Path

import torch

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.pool.chosen_images import read_chosen_images

__all__ = ["half_of", "read_references"]


def read_references(
    folder: str | Path, resolution: int, half: str = "all", fit: Fit | None = None
) -> torch.Tensor:
    """References of a folder, in the order of their names: uint8 [n, 3, resolution, resolution].

    ``half`` is ``evaluation.references_half``: ``all``, ``development`` or ``tables``;
    ``fit`` is how they become squares, without one their centre is cut out.

    Raises:
        PoolError: there is no such folder, one of its files is no image, or the half is empty.
    """
    ids, _, images = read_chosen_images(folder, resolution, fit)
    if half == "all":
        return images
    kept = [half_of(name) == half for name in ids]
    if not any(kept):
        raise PoolError(
            f"{folder} has no reference in the half {half!r}: add images, or set "
            "evaluation.references_half to all."
        )
    return images[torch.tensor(kept)]


def half_of(sha256: str) -> str:
    """The half of a file, by the hash of its bytes: whatever it is called, copies together.

    >>> half_of("7692c3ad"), half_of("3fc4ccfe")
    ('development', 'tables')
    """
    return "tables" if int(sha256[:2], 16) % 2 else "development"
