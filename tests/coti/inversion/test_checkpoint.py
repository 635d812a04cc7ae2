from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import TrainingError
from coti.core.sealed import sealed_bytes
from coti.core.whole_files import tensor_bytes, tensor_hash
from coti.inversion.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    FolderCheckpointStore,
    left_behind,
    read_checkpoint,
    write_checkpoint,
)

CHECKPOINT = Checkpoint(
    {"seed": "0", "dtype": "torch.float32"},
    {"step": 7, "curve": [{"loss": 0.1234567890123456, "phi": None}]},
    {"vectors.0": torch.randn(2, 4), "step.0": torch.tensor(7.0)},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Tensors to the byte, floats to the last digit."""
    store = FolderCheckpointStore(tmp_path / "new" / "folder")
    assert read_checkpoint(store, CHECKPOINT.identity) is None
    write_checkpoint(store, CHECKPOINT)
    back = read_checkpoint(store, CHECKPOINT.identity)
    assert back is not None
    assert back.state == CHECKPOINT.state
    assert all(torch.equal(back.tensors[k], v) for k, v in CHECKPOINT.tensors.items())
    assert [path.name for path in store.path.parent.iterdir()] == ["checkpoint.safetensors"]


def test_another_identity_is_refused_naming_the_difference(tmp_path: Path) -> None:
    """Changed, added and missing entries are all differences."""
    store = FolderCheckpointStore(tmp_path)
    write_checkpoint(store, CHECKPOINT)
    with pytest.raises(TrainingError, match=r"differs: dtype \(.*now None\); seed \(.* 0, now 1"):
        read_checkpoint(store, {"seed": "1"})


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """Cut files, foreign files, empty files; tensors that were never sealed."""
    store = FolderCheckpointStore(tmp_path)
    write_checkpoint(store, CHECKPOINT)
    whole = store.read()
    assert whole is not None
    foreign = tensor_bytes(CHECKPOINT.tensors, {"state": "{}", "identity": "{}"})
    sealed = sealed_bytes(CHECKPOINT.tensors, {})
    for content in (whole[:-3], whole[:20], b"", b"garbage" * 10, foreign, sealed):
        store.path.write_bytes(content)
        with pytest.raises(DamagedCheckpointError, match=r"is damaged, it .*starts at step 0"):
            read_checkpoint(store, CHECKPOINT.identity)


class FullDisk:
    """A store whose disk is full."""

    def read(self) -> bytes | None:
        """Nothing was written yet."""
        return None

    def write(self, content: bytes) -> None:
        """Fail as a full disk does."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_says_so() -> None:
    """The step and the remedy are named."""
    with pytest.raises(TrainingError, match=r"step 7 could not be written: .*No space left"):
        write_checkpoint(FullDisk(), CHECKPOINT)


@given(st.integers(0, 5), st.integers(0, 255))
def test_tensor_hash_sees_every_byte(place: int, value: int) -> None:
    """Another value, shape or dtype is another hash."""
    tensor = torch.arange(6, dtype=torch.uint8)
    other = tensor.clone()
    other[place] = value
    assert (tensor_hash(other) == tensor_hash(tensor)) == (value == place)
    assert tensor_hash(tensor.reshape(2, 3)) != tensor_hash(tensor)
    assert tensor_hash(tensor.view(torch.int8)) != tensor_hash(tensor)


def test_an_unfinished_training_that_does_not_fit_is_said(tmp_path: Path) -> None:
    """In a store that is keyed by inputs, too: what differs is named, nothing starts silently."""
    identity = {"seed": "0", "initial embedding": "<t> abc", "base model": "b", "images": "p"}

    class Keyed(FolderCheckpointStore):
        inputs: ClassVar[dict[str, str]] = {}

        def others(self) -> Iterator[bytes]:
            for path in sorted(tmp_path.glob("*/checkpoint.safetensors")):
                if path != self.path:
                    yield path.read_bytes()

    write_checkpoint(Keyed(tmp_path / "a"), replace(CHECKPOINT, identity=identity))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "checkpoint.safetensors").write_bytes(b"x")
    store = Keyed(tmp_path / "b")
    said = left_behind(store, {**identity, "images": "q"})
    assert said is not None
    assert "images (checkpoint p, now q)" in said
    assert "starts at step 0" in said
    other_cycle = {**identity, "seed": "1", "initial embedding": "<t> xyz"}
    said = left_behind(store, other_cycle)
    assert said is not None
    assert "seed (checkpoint 0, now 1)" in said
    # The one that differs least is told.
    write_checkpoint(Keyed(tmp_path / "c"), replace(CHECKPOINT, identity=other_cycle))
    said = left_behind(store, {**other_cycle, "images": "q"})
    assert said is not None
    assert "what differs: images (checkpoint p, now q). This" in said
    assert left_behind(store, {**identity, "initial embedding": "<other> abc"}) is None
    assert left_behind(FolderCheckpointStore(tmp_path / "b"), identity) is None
