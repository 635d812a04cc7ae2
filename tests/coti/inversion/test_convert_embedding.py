from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from coti.core.errors import EmbeddingError, ModelError
from coti.inversion.adapters.embedding import Embedding, describe_embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.convert_embedding import convert_embedding
from coti.settings import TokenSettings

VECTORS = torch.randn(3, 768)


@pytest.mark.parametrize(
    ("content", "token"),
    [
        # AUTOMATIC1111: the embedding is called after the file or "name".
        (
            {
                "string_to_token": {"*": 265},
                "string_to_param": {"*": torch.nn.Parameter(VECTORS)},
                "name": "cat-toy",
                "step": 500,
                "sd_checkpoint": "abc",
                "sd_checkpoint_name": "v1-5",
            },
            "<cat-toy>",
        ),
        # The original textual inversion code keeps a ParameterDict.
        (
            {
                "string_to_token": {"*": torch.tensor(265)},
                "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(VECTORS)}),
            },
            "<old>",
        ),
        ({"<cat-toy>": VECTORS}, "<cat-toy>"),  # diffusers
        ({"emb_params": VECTORS.half().float()}, "<old>"),  # InvokeAI reads this one, too
        ({"clip_l": VECTORS, "clip_g": torch.randn(3, 1280)}, "<old>"),  # SDXL everywhere
    ],
    ids=["automatic1111", "original", "diffusers", "emb_params", "sdxl"],
)
def test_pickled_embeddings_of_each_tool_become_ours(
    content: Any, token: str, tmp_path: Path
) -> None:
    """The vectors come out, two-dimensional and float32, under a placeholder token."""
    torch.save(content, tmp_path / "old.pt")
    embedding = convert_embedding(tmp_path / "old.pt", tmp_path / "new.safetensors")
    assert embedding.token == token
    back = Embedding.load(tmp_path / "new.safetensors")
    assert back.token == token
    torch.testing.assert_close(back.parts[0], VECTORS, rtol=1e-3, atol=1e-3)
    sdxl = isinstance(content, dict) and "clip_g" in content
    assert describe_embedding(back) == ("for SDXL" if sdxl else "for Stable Diffusion 1.x")


def test_other_pickles_are_named(tmp_path: Path) -> None:
    """A list, a model, nothing: one sentence each, and no file."""
    for content, error, says in (
        ([1, 2], EmbeddingError, "holds a list, not an embedding"),
        ({"a": VECTORS, "b": VECTORS}, EmbeddingError, "not one embedding"),
        ({"a": print}, ModelError, "could run code"),
    ):
        torch.save(content, tmp_path / "old.pt")
        with pytest.raises(error, match=says):
            convert_embedding(tmp_path / "old.pt", tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists()


def test_a_pickled_embedding_names_the_command_that_converts_it(tmp_path: Path) -> None:
    """Where it is given as an initializer."""
    (tmp_path / "cat.pt").write_bytes(b"x")
    with pytest.raises(EmbeddingError, match=r"`coti weights embedding cat.pt cat.safetensors`"):
        Embedding.load(tmp_path / "cat.pt")


@pytest.mark.parametrize(
    ("tensors", "made_for"),
    [
        ({"a1111": torch.ones(1, 768)}, "Stable Diffusion 1.x"),
        ({"clip_h": torch.ones(1, 1024)}, "Stable Diffusion 2.x"),
        ({"clip_g": torch.ones(1, 1280)}, "the second text encoder of SDXL"),
        ({"clip_l": torch.ones(1, 768), "clip_g": torch.ones(1, 1280)}, "SDXL"),
        ({"string_to_param.*": torch.ones(1, 768)}, "Stable Diffusion 1.x"),
    ],
)
def test_an_embedding_of_another_base_model_is_refused_by_its_name(
    tensors: dict[str, torch.Tensor], made_for: str, model: TextToImageModel, tmp_path: Path
) -> None:
    """The dimension says which base model a file is for, and what this one needs."""
    path = tmp_path / "embedding.safetensors"
    save_file(tensors, path)
    settings = TokenSettings(placeholder_token="<t>", initializer=str(path), num_vectors=1)
    with pytest.raises(EmbeddingError, match=f"made for {made_for}; .* needs width 32"):
        Embedding.initial(model, settings)


def test_a_lora_is_no_embedding(tmp_path: Path) -> None:
    """Nor is a whole model: said from the header, without reading it."""
    path = tmp_path / "lora.safetensors"
    save_file({f"lora.{i}": torch.ones(1) for i in range(80)}, path)
    with pytest.raises(EmbeddingError, match=r"holds 80 tensors, .* a model or a LoRA"):
        Embedding.load(path)
