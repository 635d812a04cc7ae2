"""What no setting may be, whatever part of the settings it belongs to."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from coti import settings
from coti.core.errors import ConfigError
from coti.settings import (
    EvaluationSettings,
    FetchSettings,
    GenerationSettings,
    ModelSettings,
    PoolSettings,
    RunSettings,
)
from coti.settings.from_yaml import parse_settings

PARTS = tuple(getattr(settings, name) for name in settings.__all__)

ANY_WHOLE_NUMBER = {"RunSettings.seed"}
ZERO_IS_SAID = {
    "AestheticSettings.steps",
    "ControllerSettings.max_cycles",
    "EvaluationSettings.imagenet_captions",
    "FetchSettings.max_redirects",
    "GenerationSettings.sample_images",
    "MeasurementSettings.edit_images",
    "PoolSettings.min_accepted",
    "PoolSettings.near_duplicate_bits",
    "PoolSettings.workers",
    "PromotionSettings.min_samples",
    "RunSettings.threads",
    "TrainSettings.checkpoint_every",
    "TrainSettings.keep_latents_from",
}
"""Counts of which 0 means none, off, or all there are."""


def _numbers(kind: type) -> list[tuple[type, str]]:
    """Every field that holds a number of this kind, alone, in a tuple, or none."""
    found = []
    for part in PARTS:
        hints = get_type_hints(part)
        for each in fields(part):
            hint = hints[each.name]
            inner = {a for one in (hint, *get_args(hint)) for a in (one, *get_args(one))}
            if kind in inner:
                found.append((part, each.name))
    return found


def _default(part: type, name: str) -> Any:
    return getattr(part(), name)


@pytest.mark.parametrize(
    ("part", "name"), _numbers(float), ids=lambda said: getattr(said, "__name__", said)
)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(part: type, name: str, wrong: float) -> None:
    """In every field of every part, by its key."""
    default = _default(part, name)
    several = isinstance(default, tuple) or name == "guidance_interval"
    size = len(default) if isinstance(default, tuple) else 2
    for place in range(size if several else 1):
        numbers = list(default or (0.0, 1.0)) if several else []
        if several:
            numbers[place] = wrong
        with pytest.raises(ConfigError, match=name):
            part(**{name: tuple(numbers) if several else wrong})


@pytest.mark.parametrize(
    ("part", "name"), _numbers(int), ids=lambda said: getattr(said, "__name__", said)
)
def test_counts_have_a_least(part: type, name: str) -> None:
    """-2 of anything is refused, and 0 wherever it does not mean something of its own."""
    where = f"{part.__name__}.{name}"
    if where in ANY_WHOLE_NUMBER:
        part(**{name: -2})
        return
    for wrong in (-2,) if where in ZERO_IS_SAID else (-2, 0):
        with pytest.raises(ConfigError, match=f"{name} is {wrong}: "):
            part(**{name: wrong})
    if where in ZERO_IS_SAID:
        part(**{name: 0})


@pytest.mark.parametrize(
    ("part", "name"),
    sorted({*_numbers(float), *_numbers(int)}, key=lambda each: (each[0].__name__, each[1])),
    ids=lambda said: getattr(said, "__name__", said),
)
@pytest.mark.parametrize(
    "size", [2**63, 10**30, 10**5_000, 1e300], ids=("2**63", "10**30", "10**5000", "1e300")
)
def test_no_number_is_past_all_use(part: type, name: str, size: float) -> None:
    """A number that would never end, or overflow, is a short sentence with the key and a bound."""
    for wrong in (size, -size):
        several = name in ("learning_rates", "adam_betas", "guidance_interval")
        with pytest.raises(ConfigError, match=name) as refused:
            part(**{name: (0.0, wrong) if several else wrong})
        assert len(str(refused.value)) < 200


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_bounds_are_of_settings_and_hold_for_the_defaults(part: Any) -> None:
    """A bound's name is a field's."""
    assert set(part.MOST) <= {each.name for each in fields(part)}
    part(**{name: getattr(part(), name) for name in part.MOST})


@pytest.mark.parametrize(
    ("part", "name"),
    [(part, each.name) for part in PARTS for each in fields(part) if each.default != ""],
    ids=lambda said: getattr(said, "__name__", said),
)
def test_an_empty_name_is_no_setting(part: type, name: str) -> None:
    """As a path it would be the current folder, or the repository's."""
    hint = get_type_hints(part)[name]
    if hint is not str and str not in get_args(hint):  # a number, or a choice
        return
    several = isinstance(_default(part, name), tuple)
    with pytest.raises(ConfigError, match=f"{name} is empty"):
        part(**{name: ("a", "") if several else ""})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:11", "mps"])
def test_devices_that_are_documented(device: str) -> None:
    """Whether the machine has them is asked when they are used."""
    ModelSettings(device=device)


@pytest.mark.parametrize(
    "device",
    ["xla", "hpu", "meta", "vulkan", "xpu", "cpu:1", "cuda:", "cuda:-1", "CUDA", "gpu", "cuda:x"],
)
def test_devices_that_nothing_was_written_for(device: str) -> None:
    """Torch knows some of them; here they would end in a traceback."""
    with pytest.raises(ConfigError, match=r"^run\.yaml: model\.device is .*: auto, cpu"):
        parse_settings({"model": {"device": device}}, "run.yaml")


@pytest.mark.parametrize(
    ("section", "key", "wrong"),
    [
        ("evaluation", "kid_subset_size", 1),
        ("generation", "cycle_images", 1),
        ("generation", "prompts", []),
        ("generation", "guidance_interval", [2.0, 1.0]),
        ("train", "adam_betas", [0.9, 1.0]),
        ("aesthetic", "learning_rate", 0.0),
        ("aesthetic", "selected_start", 11.0),
        ("pool_rules", "max_aspect_ratio", 0.5),
        ("images", "focus", "centre"),
        ("images", "focus", [0.5]),
        ("images", "focus", [0.5, 1.5]),
    ],
)
def test_what_would_fail_after_a_training_is_refused_before_it(
    section: str, key: str, wrong: Any
) -> None:
    """The sentence names the file and the key as it stands in a run file."""
    with pytest.raises(ConfigError, match=rf"^run\.yaml: .*{section}\.{key} "):
        parse_settings({section: {key: wrong}}, "run.yaml")


def test_every_part_says_its_own_key() -> None:
    """A message's keys are those of a run file."""
    for each in fields(RunSettings):
        part = getattr(RunSettings(), each.name)
        if is_dataclass(part):
            assert getattr(part, "_section", None) == f"{each.name}."
    assert FetchSettings._section == "pool_rules.fetch."


def test_the_least_is_allowed() -> None:
    """Bounds are where they are said to be."""
    EvaluationSettings(kid_subset_size=2, kid_subsets=1, batch_size=1)
    GenerationSettings(cycle_images=2, phi_images=1, sample_images=0, guidance_interval=None)
    replace(PoolSettings(), near_duplicate_bits=-1)


_ROOT = Path(__file__).resolve().parents[2]
_KEY = re.compile(
    rf"(?<![\w./-])(?:{'|'.join(each.name for each in fields(RunSettings))})"
    r"(?:\.[a-z_]\w*)+(?![\w(/-])"
)
_NO_KEYS = re.compile(
    r"\.(?:py|md|yaml|csv|tar|png|html|json|safetensors|parquet|sh|toml|zip)$|^model\.diffusion_model\."
)
"""Names of files, and of tensors in a single-file checkpoint."""


def _texts() -> Iterator[tuple[str, str]]:
    """Every text of the code and every page, with where it stands."""
    for package in ("coti", "ops", "steps", "cli", "pipelines"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(_ROOT)}:{node.lineno}", node.value
    for path in (*sorted((_ROOT / "docs").rglob("*.md")), _ROOT / "README.md"):
        yield str(path.relative_to(_ROOT)), path.read_text(encoding="utf-8")


def _exists(key: str) -> bool:
    part: Any = RunSettings()
    for name in key.split("."):
        if not is_dataclass(part) or name not in {each.name for each in fields(part)}:
            return False
        part = getattr(part, name)
    return True


def test_keys_in_messages_and_pages_exist() -> None:
    """Who is told to change a key finds it in the settings: ``pool_rules``, not ``pool``."""
    named = {
        (where, found[0])
        for where, text in _texts()
        for found in _KEY.finditer(text)
        if not _NO_KEYS.search(found[0])
    }
    assert {key for _, key in named} >= {"pool_rules.max_inputs", "pool_rules.fetch.opt_out"}
    assert sorted((where, key) for where, key in named if not _exists(key)) == []
