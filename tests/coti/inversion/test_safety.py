"""What a file must be before it is promoted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from coti.errors import ModelError
from coti.inversion.safety import Vocabulary, inspect_embedding, vocabulary_of

ROOT = Path(__file__).resolve().parents[3]
VOCABULARY = Vocabulary((4,), (1.0,), (3.0,))


def _file(folder: Path, **tensors: torch.Tensor) -> Path:
    path = folder / "learned_embeds.safetensors"
    save_file(tensors, path)
    return path


def test_a_word_of_the_vocabularys_size_is_sound(tmp_path: Path) -> None:
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


def test_the_bundled_models_vocabulary() -> None:
    """Width and norms come from the text encoder; they survive the way through a tag."""
    found = vocabulary_of(str(ROOT / "assets" / "models" / "base"))
    assert len(found.widths) == 1
    assert 0 < found.least[0] <= found.most[0]
    assert Vocabulary.from_json(found.to_json()) == found


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    """One sentence that names the key."""
    with pytest.raises(ModelError, match=r"model\.base_model"):
        vocabulary_of(str(tmp_path))
