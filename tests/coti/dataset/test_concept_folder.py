"""The folder that others load."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from safetensors.torch import load_file

from coti.core.errors import StoreError
from coti.core.quiet_libraries import quiet_libraries
from coti.core.tokens import token_of
from coti.dataset.concept_folder import ConceptCard, _card, _loading, write_concept_folder
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.settings import TokenSettings

CARD = ConceptCard(
    concept="ankle boot",
    kind="object",
    base_model='a "quoted": model',
    license="cc-by-4.0",
    metrics={"fd": 0.3},
    lineage={"coti.pool_hash": "abc"},
)


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """A file as the registry holds it."""
    embedding = Embedding("<ankle-boot>", (torch.ones(2, 4),))
    return embedding.save(tmp_path / "learned_embeds.safetensors")


def test_the_layout_of_a_concept_library(tmp_path: Path, embedding: Path) -> None:
    """Names that loaders look for, the web UI's file, a card with valid front matter."""
    image = tmp_path / "p.png"
    image.write_bytes(b"x")
    folder = write_concept_folder(tmp_path / "out", embedding, [image], CARD)
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


@pytest.mark.parametrize("kind", ["epsilon", "sdxl"])
def test_what_the_card_says_loads_the_embedding(
    kind: str,
    model_folder: Callable[..., Path],
    load_model: Callable[..., TextToImageModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The card's own lines, run in the exported folder with a diffusers pipeline."""
    from diffusers import DiffusionPipeline

    token = TokenSettings(placeholder_token="<boot>", initializer="boot", num_vectors=2)
    embedding = Embedding.initial(load_model(kind), token)
    file = embedding.save(tmp_path / "learned_embeds.safetensors")
    folder = write_concept_folder(tmp_path / "out", file, [], CARD)
    page = (folder / "README.md").read_text(encoding="utf-8")
    lines = page.split("```python\n")[1].split("```")[0].splitlines()
    assert lines.pop() == "pipe('a photo of a <boot>').images[0]"
    with quiet_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = DiffusionPipeline.from_pretrained(str(model_folder(kind)))
        monkeypatch.chdir(folder)
        exec("\n".join(lines), {"pipe": pipe})
    encoders = [pipe.text_encoder, *([pipe.text_encoder_2] if kind == "sdxl" else [])]
    for encoder, vectors in zip(encoders, embedding.parts, strict=True):
        assert torch.equal(encoder.get_input_embeddings().weight[-2:], vectors)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, embedding: Path) -> None:
    """One sentence; nothing is overwritten."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(StoreError, match="move it away"):
        write_concept_folder(tmp_path / "out", embedding, [], CARD)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


@given(st.text(st.sampled_from("ab`*_[]()<>|#&;~$!\\\"'\n -{}:é🦊\u2028"), min_size=1, max_size=12))
@example("a\"b'c")
@example("[red](https://h) | <img src=x> | ``` &lt;")
def test_a_card_shows_texts_as_they_are(text: str) -> None:
    """A token is a Python string, a name is no markup, a value ends no cell, whatever is in it."""
    token, shown = token_of(text) or "<t>", " ".join(text.replace("\u2028", " ").split())
    card = ConceptCard(text, "object", text, text, {text: 0.5}, {"by": text})
    page = _card(card, token, 0, _loading(Embedding(token, (torch.ones(1, 4),))))
    front, _, body = page.removeprefix("---\n").partition("\n---\n")
    assert set(yaml.safe_load(front)) == {"license", "base_model", "tags"}
    found = MarkdownIt().enable("table").parse(body)
    (code,) = (each.content for each in found if each.type == "fence")
    written = [each.value for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Constant)]
    assert {token, f"a photo of a {token}"} <= set(written)
    lines = [each for each in found if each.type == "inline"]
    texts = ["".join(part.content for part in line.children or ()) for line in lines]
    if shown:
        assert texts[0] == shown
        assert texts[texts.index("0.5") - 1] == shown
        assert texts[texts.index("by") + 1] == shown
    assert token in [part.content for part in lines[1].children or ()]
    kinds = {part.type for line in lines for part in line.children or ()}
    assert kinds <= {"text", "text_special", "code_inline", "softbreak"}
