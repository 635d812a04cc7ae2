"""Held-out references, whole or in two halves: one to choose settings by, one to publish by."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from coti.core.errors import PoolError
from coti.core.file_rules import read_inside
from coti.core.images import read_image_folder

__all__ = ["half_of", "read_references"]


def read_references(folder: str | Path, resolution: int, half: str = "all") -> torch.Tensor:
    """References of a folder, in the order of their names: uint8 [n, 3, resolution, resolution].

    ``half`` is ``evaluation.references_half``: ``all``, ``development`` or ``tables``.

    Raises:
        PoolError: there is no such folder, one of its files is no image, or the half is empty.
    """
    names, images = read_image_folder(folder, resolution)
    if half == "all":
        return images
    kept = [half_of(read_inside(folder, name)) == half for name in names]
    if not any(kept):
        raise PoolError(
            f"{folder} has no reference in the half {half!r}: add images, or set "
            "evaluation.references_half to all."
        )
    return images[torch.tensor(kept)]


def half_of(content: bytes) -> str:
    """The half that a file belongs to, by its bytes alone: whatever it is called, copies together.

    >>> half_of(b"one"), half_of(b"two")
    ('development', 'tables')
    """
    return "tables" if hashlib.sha256(content).digest()[0] % 2 else "development"
