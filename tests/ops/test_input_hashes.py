"""What the cache sees of files that a run names."""

from __future__ import annotations

from pathlib import Path

import torch

from coti.inversion.adapters.embedding import Embedding
from materializers.files import hash_of_tensors
from ops.stack.input_hashes import fingerprint_file, fingerprint_model


def test_a_file_counts_by_its_bytes(tmp_path: Path) -> None:
    """An initializer, or weights given beside a model's name; a word or a tag counts as it is."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"one")
    before = fingerprint_file(str(path)), fingerprint_model("ViT-H-14", str(path))
    path.write_bytes(b"two")
    after = fingerprint_file(str(path)), fingerprint_model("ViT-H-14", str(path))
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert fingerprint_file("boot") == "boot"
    # A folder of that name, such as a package of ours, is no initializer.
    assert fingerprint_file("steps") == "steps"
    assert fingerprint_model("ViT-H-14", "laion2b_s32b_b79k") == "ViT-H-14@laion2b_s32b_b79k"
    assert fingerprint_model("x", "tag", "ab") == "x@tag#ab"


def test_the_folder_that_describes_a_single_file_counts(tmp_path: Path) -> None:
    """Another schedule in it is another model."""
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    folder = tmp_path / "described"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    before = fingerprint_model(str(model), config=str(folder))
    (folder / "model_index.json").write_text('{"a": 1}')
    assert fingerprint_model(str(model), config=str(folder)) != before
    assert fingerprint_model(str(model), config="sd15") == fingerprint_model(str(model))


def test_both_text_encoders_vectors_are_in_an_embeddings_hash() -> None:
    """SDXL: another second half is another embedding."""
    one = Embedding("<t>", (torch.ones(2, 4), torch.ones(2, 6)), {}, ("clip_l", "clip_g"))
    other = Embedding("<t>", (torch.ones(2, 4), torch.zeros(2, 6)), {}, ("clip_l", "clip_g"))
    assert hash_of_tensors(one.named_parts) != hash_of_tensors(other.named_parts)
    assert hash_of_tensors(one.named_parts) == hash_of_tensors(one.named_parts)
