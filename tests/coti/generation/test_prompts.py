from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coti.core.errors import ConfigError, EmbeddingError
from coti.generation.prompts import (
    EDITABILITY_PROMPTS,
    check_tokens,
    fill_prompts,
    plain_prompt,
    read_prompts,
)
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel

EMBEDDING = Embedding("<t>", (torch.zeros(1, 32),), {"concept": "ankle boot"})


def test_prompts_come_from_a_file_by_heading(tmp_path: Path) -> None:
    """Comments and blank lines are passed over, order is kept."""
    path = tmp_path / "prompts.txt"
    path.write_text("first {}\n\n[style]\n# why\nan oil painting of {}\na sketch of {}\n")
    assert read_prompts(path) == {
        "": ("first {}",),
        "style": ("an oil painting of {}", "a sketch of {}"),
    }


def test_a_file_without_prompts_is_refused(tmp_path: Path) -> None:
    """Missing, empty, or no text: one sentence each."""
    (tmp_path / "empty.txt").write_text("# nothing\n[style]\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="holds no prompt"):
        read_prompts(tmp_path / "empty.txt")
    for name in ("binary.txt", "missing.txt"):
        with pytest.raises(ConfigError, match=f"{name}. cannot be read"):
            read_prompts(tmp_path / name)


def test_the_papers_prompts_are_of_three_difficulties() -> None:
    """Background, style and composition, each with a place for the token."""
    assert list(EDITABILITY_PROMPTS) == ["background", "style", "composition"]
    assert all("{}" in prompt for group in EDITABILITY_PROMPTS.values() for prompt in group)


def test_braces_stand_for_the_first_word() -> None:
    """Without an embedding there is nothing to put there; an empty prompt is none."""
    assert fill_prompts(["a {} and a <s>"], [EMBEDDING]) == ["a <t> and a <s>"]
    with pytest.raises(EmbeddingError, match="no embedding is given"):
        fill_prompts(["a {}"], [])
    with pytest.raises(ConfigError, match="A prompt is empty"):
        fill_prompts([" "], [EMBEDDING])


def test_an_unknown_token_is_refused(model: TextToImageModel) -> None:
    """The sentence names it and what there is; known ones and vocabulary pass."""
    check_tokens(model, ["a <t>", "a boot", "<|endoftext|>"], [EMBEDDING])
    with pytest.raises(EmbeddingError, match=r"uses <tt>, and no embedding defines it .*are <t>"):
        check_tokens(model, ["a <tt>"], [EMBEDDING])
    with pytest.raises(EmbeddingError, match="none is given"):
        check_tokens(model, ["a <t>"], [])


def test_a_plain_prompt_names_the_concept() -> None:
    """Or the word asked for, or nothing."""
    style = Embedding("<s>", (torch.zeros(1, 32),))
    assert plain_prompt("a <t>", [EMBEDDING]) == "a ankle boot"
    assert plain_prompt("a <t> here", [EMBEDDING], "shoe") == "a shoe here"
    assert plain_prompt("a boot in <s> style", [style]) == "a boot in style"
