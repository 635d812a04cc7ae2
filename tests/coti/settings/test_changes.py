"""``--set KEY=VALUE`` means what the same key means in the file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.plain_yaml import load_yaml
from coti.settings import RunSettings
from coti.settings.changes import changed, changed_run_file
from coti.settings.from_yaml import parse_settings
from coti.settings.run import flat

DEFAULTS = flat(asdict(RunSettings()))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 9_999)
    | st.floats(allow_nan=False, width=32)
    | st.text(max_size=9)
)
ANY = SCALARS | st.lists(SCALARS, max_size=3)


def _outcome(values: Any) -> RunSettings | str:
    try:
        return parse_settings(values, "run.yaml")
    except ConfigError as error:
        return str(error)


def _line(value: Any) -> str:
    """As one writes it, in a line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


@given(data=st.data(), key=st.sampled_from(sorted(DEFAULTS)))
def test_any_set_of_any_leaf_equals_the_key_in_the_file(data: st.DataObject, key: str) -> None:
    """The same settings, or the same sentence: with a value of its own kind, or any."""
    value = data.draw(st.just(DEFAULTS[key]) | ANY)
    line = _line(list(value) if isinstance(value, tuple) else value)
    parts = key.split(".")
    file = "\n".join(
        f"{'  ' * depth}{part}:{' ' + line if part is parts[-1] else ''}"
        for depth, part in enumerate(parts)
    )
    assert _outcome(changed({}, [f"{key}={line}"])) == _outcome(load_yaml(file))


@pytest.mark.parametrize("key", DEFAULTS)
def test_every_default_can_be_set(key: str) -> None:
    """It is a value of the key, and nothing else changes."""
    value = DEFAULTS[key]
    line = _line(list(value) if isinstance(value, tuple) else value)
    assert parse_settings(changed({}, [f"{key}={line}"]), "a test") == RunSettings()


def test_changes_stand_over_the_file_and_later_ones_over_earlier_ones() -> None:
    """Key by key; a part is a mapping of its keys."""
    file = {"seed": 1, "train": {"batch_size": 4, "max_steps": 5}}
    said = ["train.max_steps=6", "train={phi_every: 9}", " train.max_steps = 7", "preset=sd15"]
    wanted = {"batch_size": 4, "max_steps": 7, "phi_every": 9}
    assert changed(file, said) == {"seed": 1, "preset": "sd15", "train": wanted}
    assert file["train"] == {"batch_size": 4, "max_steps": 5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.max_step=3", "unknown key 'train.max_step': remove it or write train.max_steps"),
        ("max_steps=3", "unknown key 'max_steps': remove it or write train.max_steps"),
        ("seed=x", "seed: Input should be a valid integer, unable to parse"),
        ("seed", "--set 'seed' is not KEY=VALUE, such as train.max_steps=200"),
        ("=3", "is not KEY=VALUE"),
        ("train..max_steps=3", "is not KEY=VALUE"),
        ("generation.prompts=[a", "cannot be read as YAML"),
        ("preset=sd16", "preset 'sd16' is not known"),
        ("model.base_model=other", "model.base_model is 'other', but scorer.model, "),
        ("seed.x=3", "seed: Input should be a valid integer"),
    ],
)
def test_a_wrong_change_is_a_sentence(change: str, said: str) -> None:
    """It names the key, and the nearest one that there is."""
    content = {"parameters": {"config": {"concept": "a"}}}
    with pytest.raises(ConfigError) as refused:
        changed_run_file(content, [change], "run.yaml")
    assert said in str(refused.value)


def test_what_else_a_run_file_says_stays() -> None:
    """ZenML's own keys; without settings there is nothing to change."""
    content = {"run_name": "mine", "parameters": {"config": {"seed": 1}}, "settings": {"a": 1}}
    changed_content = changed_run_file(content, ["seed=2"], "run.yaml")
    assert changed_content == {**content, "parameters": {"config": {"seed": 2}}}
    for wrong in ({"parameters": [1]}, {"parameters": {"config": [1]}}):
        with pytest.raises(ConfigError, match=r"^run.yaml: settings of COTI belong under"):
            changed_run_file(wrong, ["seed=2"], "run.yaml")
