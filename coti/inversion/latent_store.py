"""Where latents are kept between runs, and what happens where the store fails."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import torch

from coti.core.sealed import sealed_bytes, unsealed
from coti.core.whole_files import write_whole

__all__ = ["FolderLatentStore", "LatentStore", "keep", "read_kept"]


class LatentStore(Protocol):
    """Where latents are kept between runs: a folder, or an object store such as S3."""

    def read(self, key: str) -> bytes | None:
        """The latents written under this key, or None."""

    def write(self, key: str, content: bytes) -> None:
        """Keep latents; whole or not at all."""


class FolderLatentStore:
    """Latents as files in a folder, one a key."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def read(self, key: str) -> bytes | None:
        """The file's bytes, or None."""
        try:
            return (self.folder / f"{key}.safetensors").read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        """Write beside, flush to disk, rename."""
        write_whole(self.folder / f"{key}.safetensors", content)


def read_kept(
    store: LatentStore, key: str, shape: tuple[int, ...]
) -> dict[str, torch.Tensor] | None:
    """Kept latents, or None where there are none that can be used: encoding makes them anew."""
    try:
        content = store.read(key)
        if content is None:
            return None
        found, metadata = unsealed(content)
    except (OSError, ValueError) as error:
        logging.getLogger(__name__).warning(
            "Kept latents cannot be used: %s. They are encoded anew.", error
        )
        return None
    fits = metadata.get("key") == key and all(
        name in found and found[name].shape == shape for name in ("mean", "std")
    )
    return found if fits else None


def keep(store: LatentStore, key: str, tensors: dict[str, torch.Tensor]) -> None:
    """Keep latents; a store that is full or away costs a later run time, not this one its end."""
    try:
        store.write(key, sealed_bytes(tensors, {"format": "pt", "key": key}))
    except OSError as error:
        logging.getLogger(__name__).warning("latents could not be kept: %s", error)
