from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Command

from coti.commands.edit import edit
from coti.commands.evaluate import evaluate
from coti.commands.generate import generate
from ops.quiet import ROOT
from tools.using_images import PAGE, commands_of, table_of

COMMANDS: dict[str, Command] = {"generate": generate, "edit": edit, "evaluate": evaluate}
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", commands_of(TEXT))
def test_a_documented_command_is_one_that_there_is(name: str) -> None:
    """Its options parse, what it reads from the repository exists, and its result is shown."""
    program, command, *words = commands_of(TEXT)[name]
    assert program == "coti"
    with COMMANDS[command].make_context(command, list(words)) as context:
        assert str(context.params["output"]) == f"outputs/using/{name}"
    for word in words:
        if word.startswith(("assets/", "configs/")):
            assert (ROOT / word).exists(), word
    assert f"images/using/{name}.png" in TEXT or f"<!-- {name}:begin -->" in TEXT


def test_every_image_of_the_page_exists() -> None:
    """A command made it and it was committed."""
    for image in re.findall(r"\]\((images/[^)]+)\)", TEXT):
        assert (PAGE.parent / image).is_file(), image


def test_the_table_has_means_and_ranges(tmp_path: Path) -> None:
    """Classes that never occur are left out."""
    path = tmp_path / "scores.csv"
    path.write_text(
        "label,seed,entropy,largest_share,expected_share,share_bag,share_ankle boot\n"
        "foot,0,1.0,0.5,0.9,0.0,0.25\nfoot,1,1.5,0.7,1.0,0.0,0.35\n"
    )
    assert table_of(path) == (
        "| word | entropy | largest share | expected share | ankle boot |\n"
        "|---|---|---|---|---|\n"
        "| foot | 1.25 (1.00–1.50) | 0.60 (0.50–0.70) | 0.95 (0.90–1.00) | 0.30 (0.25–0.35) |\n"
    )
