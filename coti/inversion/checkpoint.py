"""Training checkpoints: one safetensors blob, whole or absent, that fits its run or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from coti.core.errors import TrainingError
from coti.core.sealed import sealed_bytes, unsealed
from coti.core.whole_files import write_whole

__all__ = [
    "Checkpoint",
    "CheckpointStore",
    "DamagedCheckpointError",
    "FolderCheckpointStore",
    "KeyedCheckpointStore",
    "left_behind",
    "read_checkpoint",
    "write_checkpoint",
]


class DamagedCheckpointError(TrainingError):
    """A checkpoint is not what was written: nothing may go on from it."""


class CheckpointStore(Protocol):
    """Where one training's latest checkpoint lies: a folder, or a key in an object store."""

    def read(self) -> bytes | None:
        """The checkpoint, or None where none was written yet."""
        ...

    def write(self, content: bytes) -> None:
        """Replace the checkpoint in one stroke; a killed writer leaves the old one."""
        ...


@runtime_checkable
class KeyedCheckpointStore(CheckpointStore, Protocol):
    """A store with a place for every set of inputs: a training never finds another's by itself."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """By name, what the place depends on and the training does not know."""
        ...

    def others(self) -> Iterator[bytes]:
        """The checkpoints of other trainings that did not end."""
        ...


class FolderCheckpointStore:
    """One checkpoint file in a folder, replaced atomically."""

    def __init__(self, folder: Path | str, name: str = "checkpoint.safetensors") -> None:
        self.path = Path(folder) / name

    def read(self) -> bytes | None:
        """The file's bytes, or None."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, content: bytes) -> None:
        """Write beside, flush to disk, rename."""
        write_whole(self.path, content)


@dataclass(frozen=True)
class Checkpoint:
    """All that a resumed training needs; random streams have no state (see coti.core.seeding)."""

    identity: dict[str, str]
    """What the training depends on, by name: settings, and hashes of data and model."""
    state: dict[str, Any]
    """Step, schedule, curve: JSON."""
    tensors: dict[str, torch.Tensor]
    """Vectors and optimizer moments."""


def write_checkpoint(store: CheckpointStore, checkpoint: Checkpoint) -> None:
    """Save, replacing the one before.

    Raises:
        TrainingError: the disk is full or the store cannot be reached; the old one is kept.
    """
    header = {
        "format": "pt",
        "identity": json.dumps(checkpoint.identity, sort_keys=True),
        "state": json.dumps(checkpoint.state, sort_keys=True),
    }
    content = sealed_bytes(checkpoint.tensors, header)
    try:
        store.write(content)
    except OSError as error:
        raise TrainingError(
            f"The checkpoint of step {checkpoint.state.get('step')} could not be written: {error}. "
            "The one before it is kept; make room and run the same command again to go on there."
        ) from error


def read_checkpoint(store: CheckpointStore, identity: Mapping[str, str]) -> Checkpoint | None:
    """The checkpoint to go on from, or None where there is none yet.

    Raises:
        DamagedCheckpointError: one byte of it differs from what was written.
        TrainingError: it belongs to another training; what differs is named.
    """
    try:
        content = store.read()
    except OSError as error:
        raise TrainingError(
            f"Whether there is a checkpoint to go on from cannot be seen: {error}. Nothing was "
            "changed; run the same command again when the store can be reached."
        ) from error
    if content is None:
        return None
    place = f" ({store.path})" if isinstance(store, FolderCheckpointStore) else ""
    try:
        found = _decoded(content)
    except ValueError as error:
        raise DamagedCheckpointError(
            f"The training checkpoint{place} is damaged, {error}: this cycle starts at step 0."
        ) from error
    differences = _differences(found.identity, identity)
    if differences:
        raise TrainingError(
            f"The training checkpoint{place} is from another training; what differs: "
            f"{'; '.join(differences)}. Put that back to go on, or delete the checkpoint to start "
            "anew."
        )
    return found


def left_behind(store: CheckpointStore, identity: Mapping[str, str]) -> str | None:
    """What is said where a store that is keyed by a training's inputs has none for these.

    Only of unfinished trainings of the same token, of which the one that differs least is told:
    its settings, data or code were changed since, or its cycle is not reached yet, and nothing
    goes on from it unless they are put back.
    """
    if not isinstance(store, KeyedCheckpointStore):
        return None
    told: list[tuple[int, str]] = []
    for content in store.others():
        try:
            found = _decoded(content)
        except ValueError:
            continue
        if _token_of(found.identity) != _token_of(identity):
            continue
        differences = _differences(found.identity, identity)
        more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
        said = (
            f"An unfinished training of this token, at step {found.state.get('step')}, does not "
            f"fit; what differs: {'; '.join(differences[:6])}{more}. This one starts at step 0; "
            "put that back to go on there."
        )
        told.append((len(differences), said))
    return min(told)[1] if told else None


def _token_of(identity: Mapping[str, str]) -> str:
    """The token that a training is about; the rest of the entry is a hash of its tensors."""
    return identity.get("initial embedding", "").partition(" ")[0]


def _decoded(content: bytes) -> Checkpoint:
    tensors, header = unsealed(content)
    if not {"identity", "state"} <= header.keys():
        raise ValueError("it is no checkpoint")
    return Checkpoint(json.loads(header["identity"]), json.loads(header["state"]), tensors)


def _differences(checkpoint: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} (checkpoint {checkpoint.get(name)}, now {now.get(name)})"
        for name in sorted({*checkpoint, *now})
        if checkpoint.get(name) != now.get(name)
    ]
