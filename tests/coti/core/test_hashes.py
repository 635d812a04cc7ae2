"""Content hashes of files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from coti.core.errors import ModelError
from coti.core.hashes import fingerprint_files


def model(folder: Path, weights: bytes = b"w" * 3_000_000) -> Path:
    """A folder with weights in a subfolder, a config and a model card."""
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "a.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text(str(folder))
    (folder / ".cache").write_text(str(folder))
    return folder


def test_only_content_counts(tmp_path: Path) -> None:
    """Two copies hash the same, wherever they lie and whatever their model cards say."""
    one, two = model(tmp_path / "one"), model(tmp_path / "two")
    assert fingerprint_files([one]) == fingerprint_files([two])
    assert len(fingerprint_files([one])) == 64


def test_every_byte_and_name_counts(tmp_path: Path) -> None:
    """A byte, a file's name and a moved file each change the hash."""
    hashes = {fingerprint_files([model(tmp_path / "one")])}
    hashes.add(fingerprint_files([model(tmp_path / "two", b"w" * 2_999_999 + b"v")]))
    renamed = model(tmp_path / "three")
    (renamed / "unet" / "a.safetensors").rename(renamed / "unet" / "b.safetensors")
    hashes.add(fingerprint_files([renamed]))
    (renamed / "unet" / "b.safetensors").rename(renamed / "a.safetensors")
    hashes.add(fingerprint_files([renamed]))
    assert len(hashes) == 4


def test_order_does_not_count(tmp_path: Path) -> None:
    """Files hash the same in any order, and differently from one alone."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    assert fingerprint_files([a, b]) == fingerprint_files([b, a]) != fingerprint_files([a])


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    """A missing path and an empty folder are errors that name them."""
    with pytest.raises(ModelError, match=r"nothing.safetensors does not exist"):
        fingerprint_files([tmp_path / "nothing.safetensors"])
    with pytest.raises(ModelError, match="holds no file"):
        fingerprint_files([tmp_path])
