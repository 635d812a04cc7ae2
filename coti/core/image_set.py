"""Images of one size with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from coti.core.errors import PoolError

__all__ = ["ImageSet"]


@dataclass
class ImageSet:
    """``images`` uint8 ``[n, 3, h, w]``, 0 to 255, and one name an image."""

    names: list[str]
    images: torch.Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3:
            raise PoolError(
                f"images must be uint8 [n, 3, h, w]; got {self.images.dtype} {list(shape)}."
            )
        if len(self.names) != shape[0]:
            raise PoolError(f"{len(self.names)} names for {shape[0]} images.")

    @classmethod
    def numbered(cls, name: str, images: torch.Tensor) -> ImageSet:
        """Images named ``name-0000``, ``name-0001``, …"""
        return cls([f"{name}-{number:04d}" for number in range(len(images))], images)

    def __len__(self) -> int:
        return len(self.names)

    def tensor(self, names: Sequence[str]) -> torch.Tensor:
        """Images by name: uint8 ``[len(names), 3, h, w]``.

        Raises:
            PoolError: there is no image of a name.
        """
        place = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise PoolError(f"there is no image {missing[0]!r} among {len(self)}.")
        return self.images[[place[name] for name in names]]
