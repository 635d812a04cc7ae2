"""Checkpoints in an artifact store, here a folder."""

from __future__ import annotations

from pathlib import Path

from ops.stack.checkpoints import ArtifactStoreCheckpoint


def test_other_keys_are_seen_and_the_own_is_not(tmp_path: Path) -> None:
    """Whole ones alone: a file that a killed writer left beside is none."""
    stores = {
        key: ArtifactStoreCheckpoint(f"{tmp_path}/train_cycle/{key}/checkpoint.safetensors")
        for key in ("a", "b", "c")
    }
    assert list(stores["a"].others()) == []
    stores["a"].write(b"one")
    stores["b"].write(b"two")
    (tmp_path / "train_cycle" / "d").mkdir()
    (tmp_path / "train_cycle" / "d" / "checkpoint.safetensors.part").write_bytes(b"half")
    assert list(stores["a"].others()) == [b"two"]
    assert list(stores["c"].others()) == [b"one", b"two"]
    stores["b"].clear()
    assert list(stores["a"].others()) == []
