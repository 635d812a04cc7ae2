"""Held-out references, whole or in two halves: one to choose settings by, one to publish by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.pool.chosen_images import read_chosen_images

__all__ = ["half_of", "of_half", "read_references"]


def read_references(
    folder: str | Path, resolution: int, fit: Fit, half: str = "all"
) -> torch.Tensor:
    """References of a folder, in the order of their names: uint8 [n, 3, resolution, resolution].

    ``fit`` is how they become squares; ``half`` as for :func:`of_half`.

    Raises:
        PoolError: there is no such folder, one of its files is no image, or the half is empty.
    """
    ids, _, images = read_chosen_images(folder, resolution, fit)
    return of_half(half, ids, images, str(folder))


def of_half(half: str, ids: Sequence[str], images: torch.Tensor, where: str) -> torch.Tensor:
    """Those of the images [n, …] that are in a half by their ids, which begin with a hash.

    ``half`` is ``evaluation.references_half``: ``all``, ``development`` or ``tables``; ``where``
    is what they are called in the error.

    Raises:
        PoolError: there are none.
    """
    if half == "all":
        return images
    kept = [half_of(name) == half for name in ids]
    if not any(kept):
        raise PoolError(
            f"{where} has no reference in the half {half!r}: add images, or set "
            "evaluation.references_half to all."
        )
    return images[torch.tensor(kept)]


def half_of(sha256: str) -> str:
    """The half of a file, by the hash of its bytes: whatever it is called, copies together.

    >>> half_of("7692c3ad"), half_of("3fc4ccfe")
    ('development', 'tables')
    """
    return "tables" if int(sha256[:2], 16) % 2 else "development"
