from __future__ import annotations

from pathlib import Path

import torch

from coti.core.tensors import TensorBundle


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    """Tensors, metadata and lists of strings."""
    bundle = TensorBundle({"a": torch.arange(3)}).with_strings("ids", ["x", "ä"])
    bundle.save(tmp_path / "bundle.safetensors")
    found = TensorBundle.load(tmp_path / "bundle.safetensors")
    assert torch.equal(found["a"], torch.arange(3))
    assert found.strings("ids") == ["x", "ä"]


def test_a_bundle_without_anything_can_be_read(tmp_path: Path) -> None:
    """safetensors alone would write a file that it cannot read."""
    TensorBundle({}).save(tmp_path / "bundle.safetensors")
    assert TensorBundle.load(tmp_path / "bundle.safetensors").tensors == {}
