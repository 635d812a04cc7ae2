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


def test_a_link_by_a_guessed_name_is_not_followed(tmp_path: Path) -> None:
    """On a disk what is written has a name that nobody can plant a link at; what a killed writer
    left goes with the checkpoint.
    """
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "x.safetensors.part").symlink_to(tmp_path / "mine")
    (tmp_path / "x.safetensors.0123.part").write_bytes(b"half")
    store = ArtifactStoreCheckpoint(f"{tmp_path}/x.safetensors")
    store.write(b"one")
    assert store.read() == b"one"
    store.clear()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"mine": b"mine"}
