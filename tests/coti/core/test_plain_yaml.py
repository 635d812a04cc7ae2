"""What YAML may stand for, and that every refusal of it is one short sentence."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.plain_yaml import load_yaml
from coti.settings.from_yaml import parse_settings, read_run_file
from tests.adversary.strings import HOSTILE_YAML, hostile_yaml

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def _as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


@settings(deadline=None)
@given(st.dictionaries(TEXT, VALUES), st.sampled_from((_as_json, yaml.safe_dump)))
def test_what_a_person_writes_is_read_as_ever(values: dict[str, Any], write: Any) -> None:
    """The same values as YAML's own reader gives."""
    text = write(values)
    assert load_yaml(text) == yaml.safe_load(text)


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, unique=True), st.data())
def test_a_key_stands_once(keys: list[str], data: st.DataObject) -> None:
    """Wherever it comes again, at any depth, it is named with its line."""
    twice = data.draw(st.sampled_from(keys))
    place = data.draw(st.integers(0, len(keys)))
    depth = data.draw(st.integers(0, 3))
    lines = [json.dumps(key, ensure_ascii=False) for key in keys]
    lines.insert(place, json.dumps(twice, ensure_ascii=False))
    outer = "".join(f"{'  ' * level}outer{level}:\n" for level in range(depth))
    inner = "".join(f"{'  ' * depth}{line}: 1\n" for line in lines)
    again = max(number for number, line in enumerate(lines) if line == lines[place])
    with pytest.raises(ValueError, match=rf"line {depth + again + 1}, .* stands twice"):
        load_yaml(outer + inner)


def test_aliases_and_merge_keys_of_a_usual_size_are_read() -> None:
    """The last of a merge's keys is the mapping's own."""
    text = "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\nlist: [*base, *base]"
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("attack", HOSTILE_YAML, ids=lambda attack: attack.__name__.strip("_"))
@pytest.mark.parametrize("number", range(3))
def test_a_hostile_run_file_is_one_short_sentence(attack: Any, number: int, tmp_path: Path) -> None:
    """Soon, whatever it stands for; it names the file."""
    path = tmp_path / "run.yaml"
    lines = attack(random.Random(number))
    path.write_text("parameters:\n  config:\n    concept: a\n" + lines, encoding="utf-8")
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"run\.yaml") as refused:
        read_run_file(path)
    assert time.monotonic() - started < 60
    said = str(refused.value)
    assert len(said) <= 2_500
    assert len(said.splitlines()) == 1


def test_the_grammar_makes_all_of_them() -> None:
    """The long attack draws from it."""
    assert len({next(hostile_yaml(random.Random(n)))[:40] for n in range(200)}) > 10


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3).map(lambda key: key * 500),
        st.recursive(st.text(max_size=3).map(lambda text: text * 2_000) | st.integers(), st.lists),
        min_size=1,
        max_size=30,
    )
)
def test_wrong_settings_are_counted_not_listed(values: dict[str, Any]) -> None:
    """Any number of faults of any length are a sentence that can be read."""
    with pytest.raises(ConfigError) as refused:
        parse_settings(values, "run.yaml")
    assert len(str(refused.value)) <= 2_100


def test_the_number_of_other_faults_is_said() -> None:
    """The first ten are named."""
    with pytest.raises(ConfigError, match=r"unknown key 'k9': .*; … and 19,990 more\.$"):
        parse_settings({f"k{number}": 1 for number in range(20_000)}, "run.yaml")
