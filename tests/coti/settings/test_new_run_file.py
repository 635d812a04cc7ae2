"""The run file that `coti init` writes loads back, whatever the names in it are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.plain_yaml import load_yaml
from coti.core.tokens import token_of
from coti.settings.from_yaml import parse_settings, read_run_file
from coti.settings.new_run_file import new_run_file
from coti.settings.presets import PRESETS

NAMES = st.text(min_size=1, max_size=60)
VALUES = {
    "concept": "emperor penguin chick",
    "seeds": "data/seeds",
    "pool": "s3://bucket/pool",
    "token": "<penguin>",
    "initializer": "penguin",
    "preset": "sd15",
    "seen": "10 images, 512×512 pixels",
}


@given(preset=st.sampled_from(PRESETS), concept=NAMES, seeds=NAMES, pool=NAMES, initializer=NAMES)
def test_it_loads_back_or_is_refused(
    preset: str, concept: str, seeds: str, pool: str, initializer: str
) -> None:
    """As the settings of these values, in under 30 lines."""
    plain = {"preset": preset, "concept": concept, "seeds": seeds, "pool": pool}
    token = token_of(f"<{concept}>")
    wanted = {**plain, "token": {"placeholder_token": token, "initializer": initializer}}
    try:
        text = new_run_file(**plain, token=token, initializer=initializer, seen="10 images")
    except ConfigError:  # a line break in the concept, half a character: by a sentence
        return
    read = parse_settings(load_yaml(text)["parameters"]["config"], "a test")
    assert read == parse_settings(wanted, "a test")
    assert len(text.splitlines()) < 30


@pytest.mark.parametrize("name", ["yes", "1e3", "2026-01-01", "a: b # c", "null", "'\"", "é{}%"])
def test_what_yaml_would_read_as_something_else_stays_a_text(name: str, tmp_path: Path) -> None:
    """Also through a file, as every reader of a run file has it."""
    path = tmp_path / "run.yaml"
    path.write_text(new_run_file(**{**VALUES, "concept": name, "pool": name}), encoding="utf-8")
    settings = read_run_file(path)
    assert (settings.concept, settings.pool) == (name, name)


def test_its_comments_become_settings(tmp_path: Path) -> None:
    """What may be added is right when the comment signs are taken away."""
    text = new_run_file(**VALUES)
    lines = [line for line in text.splitlines() if line.startswith("    # ")]
    for line in lines:
        if ":" in line and "Any other" not in line:
            text = text.replace(line, line.replace("# ", "", 1))
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    settings = read_run_file(path)
    assert settings.references == "data/held_out"
    assert settings.evaluation.captions == ("duck", "chicken", "seagull")
    assert settings.controller.max_cycles == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token": "Two Words"}, "token.placeholder_token 'Two Words' must be one word"),
        ({"concept": " "}, "concept is missing"),
        ({"concept": "a\nb"}, "concept holds characters that cannot be printed"),
        ({"seeds": "a\udcff"}, "a name in it cannot stand in a text file"),
        ({"pool": "s3://key:secret@bucket/pool"}, "pool holds a login"),
    ],
)
def test_what_no_run_takes_is_refused(changes: dict[str, str], said: str) -> None:
    """Before a file is written."""
    with pytest.raises(ConfigError, match=r"^coti init: ") as refused:
        new_run_file(**{**VALUES, **changes})
    assert said in str(refused.value)
