"""A device's memory that does not suffice, said in words of the setting that asks for less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from coti.core.errors import CotiError

__all__ = ["GIB", "out_of_memory_at"]

GIB = 1 << 30


@contextmanager
def out_of_memory_at(
    kind: type[CotiError], doing: str, remedy: str, module: torch.nn.Module | None = None
) -> Iterator[None]:
    """Turn torch's out-of-memory error inside into one sentence.

    Args:
        kind: the error to raise.
        doing: what was done, such as ``loading the scorer``.
        remedy: what to do about it, a clause.
        module: whose weights were loaded; their size is told.

    Raises:
        CotiError: of that kind, the device's memory did not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        size = ""
        if module is not None:
            weights = sum(p.numel() * p.element_size() for p in module.parameters())
            size = f" (weights of {weights / GIB:.1f} GiB)"
        raise kind(f"The device ran out of memory {doing}{size}: {remedy}.") from error
