"""Training checkpoints in the artifact store, keyed by what the step was given.

A pod's disk dies with the pod; the artifact store does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zenml import get_step_context
from zenml.client import Client
from zenml.io import fileio

__all__ = ["ArtifactStoreCheckpoint", "checkpoint_store"]


class ArtifactStoreCheckpoint:
    """One file in the artifact store; written under another name first, then moved."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def read(self) -> bytes | None:
        """The checkpoint, or None where none was written yet."""
        if not fileio.exists(self.uri):
            return None
        with fileio.open(self.uri, "rb") as file:
            return bytes(file.read())

    def write(self, content: bytes) -> None:
        """Replace the checkpoint; a killed writer leaves the old one."""
        fileio.makedirs(self.uri.rsplit("/", 1)[0])
        beside = f"{self.uri}.part"
        with fileio.open(beside, "wb") as file:
            file.write(content)
        fileio.rename(beside, self.uri, overwrite=True)

    def clear(self) -> None:
        """Delete the checkpoint."""
        if fileio.exists(self.uri):
            fileio.remove(self.uri)


@contextmanager
def checkpoint_store(name: str) -> Iterator[ArtifactStoreCheckpoint]:
    """The running step's checkpoint; removed once the context ends without an error.

    The key is the step's cache key: the same inputs, settings, code and weights find it again,
    anything else does not.
    """
    key = get_step_context().step_run.cache_key
    root = Client().active_stack.artifact_store.path
    store = ArtifactStoreCheckpoint(f"{root}/coti_checkpoints/{name}/{key}/checkpoint.safetensors")
    yield store
    store.clear()
