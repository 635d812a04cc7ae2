"""What a file must be before it is promoted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from coti.inversion.base_model import TextToImageModel
from coti.inversion.safety import Vocabulary, inspect_embedding, vocabulary_of

VOCABULARY = Vocabulary((4,), (1.0,), (3.0,))


def _file(folder: Path, **tensors: torch.Tensor) -> Path:
    path = folder / "learned_embeds.safetensors"
    save_file(tensors, path)
    return path


def test_an_embedding_of_the_vocabularys_size_is_sound(tmp_path: Path) -> None:
    """One key, float32, finite, norms within the range."""
    assert inspect_embedding(_file(tmp_path, word=torch.ones(2, 4)), VOCABULARY) == []


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a": torch.ones(2, 4), "b": torch.ones(2, 4)}, "2 keys"),
        ({"a": torch.ones(2, 4).half()}, "float16"),
        ({"a": torch.ones(4)}, r"shape \[4\]"),
        ({"a": torch.full((2, 4), float("nan"))}, "not finite"),
        ({"a": torch.ones(2, 5)}, "5 wide"),
        ({"a": torch.full((2, 4), 9.0)}, "norm 18 to 18"),
        ({"a": torch.full((2, 4), 0.1)}, "norm 0.2 to 0.2"),
        ({"clip_l": torch.ones(2, 4), "clip_g": torch.ones(3, 4)}, "different numbers"),
    ],
)
def test_anything_else_is_named(
    tmp_path: Path, tensors: dict[str, torch.Tensor], said: str
) -> None:
    """One sentence says what it is and what is allowed."""
    (fault,) = inspect_embedding(_file(tmp_path, **tensors), VOCABULARY)
    assert re.search(said, fault)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """Bytes that are no safetensors file."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    assert "damaged" in inspect_embedding(path)[0]


def test_a_models_vocabulary(load_model: Callable[..., TextToImageModel]) -> None:
    """Width and norms come from each text encoder; they survive the way through a tag."""
    for kind in ("epsilon", "sdxl"):
        model = load_model(kind)
        found = vocabulary_of(model)
        assert found.widths == model.widths
        assert all(0 < low <= high for low, high in zip(found.least, found.most, strict=True))
        assert Vocabulary.from_values(json.loads(found.to_json())) == found
