"""The folder that others load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from coti.concept_folder import ConceptCard, write_concept_folder
from coti.errors import RegistryError
from coti.inversion.embedding import Embedding, save_embedding

CARD = ConceptCard(
    concept="ankle boot",
    kind="object",
    base_model='a "quoted": model',
    licence="cc-by-4.0",
    metrics={"fd": 0.3},
    lineage={"coti.pool_hash": "abc"},
)


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """A file as the registry holds it."""
    word = Embedding("<ankle-boot>", torch.ones(2, 4))
    return save_embedding(word, tmp_path / "learned_embeds.safetensors")


def test_the_layout_of_a_concept_library(tmp_path: Path, embedding: Path) -> None:
    """Names that loaders look for, the web UI's file, a card with valid front matter."""
    picture = tmp_path / "p.png"
    picture.write_bytes(b"x")
    folder = write_concept_folder(tmp_path / "out", embedding, [picture], CARD)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert names == [
        "README.md",
        "concept_images/0.png",
        "learned_embeds.safetensors",
        "token_identifier.txt",
        "type_of_concept.txt",
        "webui/ankle-boot.safetensors",
    ]
    assert (folder / "token_identifier.txt").read_text() == "<ankle-boot>"
    assert (folder / "type_of_concept.txt").read_text() == "object"
    assert (folder / "learned_embeds.safetensors").read_bytes() == embedding.read_bytes()
    webui = load_file(folder / "webui" / "ankle-boot.safetensors")
    assert list(webui) == ["emb_params"]
    page = (folder / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(page.split("---")[1])
    assert front["license"] == "cc-by-4.0"
    assert "abc" in page
    assert "0.3" in page


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, embedding: Path) -> None:
    """One sentence; nothing is overwritten."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(RegistryError, match="not empty"):
        write_concept_folder(tmp_path / "out", embedding, [], CARD)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]
