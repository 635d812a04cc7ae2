from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.loop.plan import effective, selects_at
from coti.settings import ControllerSettings, ModelSettings, RunSettings, TrainSettings
from ops.run_file import QUICKSTART, check_run_file, load_settings
from ops.stack.locations import ROOT

MINIMAL = {"concept": "a", "seeds": "s", "pool": "p"}


def _file(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_quickstart_is_what_runs_without_a_file() -> None:
    """No file and the quickstart's file give the same configuration."""
    assert load_settings() == check_run_file(QUICKSTART)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("concept: cat\n", "concept"),
        ("parameters:\n  conceptt: cat\n", "conceptt"),
        ("parameters:\n  config: {concept: a, seeds: s, pool: p, sead: 1}\n", "sead"),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, train: {max_step: 1}}\n",
            "unknown key 'train.max_step': remove it or write train.max_steps",
        ),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, model: {base_model: b}}\n",
            "model.base_model is 'b', but scorer.model, ",
        ),
        ("parameters:\n  config: {concept: a, preset: sd16}\n", "preset 'sd16' is not known"),
        ("parameters:\n  config: {concept: a, seeds: s, pool: p, seed: x}\n", "seed"),
        ("parameters:\n  config: {concept: a, pool: p}\n", "seeds"),
        ("- a\n- b\n", "mapping"),
        ("parameters: {config: [", "YAML"),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, selection: {batch: 0}}\n",
            "batch",
        ),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, strategy: best}\n",
            "strategy",
        ),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, strategy: none}\n",
            "strategy none",
        ),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, pool_rules: {kind: zip}}\n",
            "kind of pool",
        ),
        (
            "parameters:\n  config: {concept: a, seeds: s, pool: p, concept_score: {encoder: x}}\n",
            "encoder",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, named: str) -> None:
    """The sentence holds the file's name and the wrong key."""
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        check_run_file(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_a_concept_of_ones_own_needs_few_lines(tmp_path: Path) -> None:
    """Concept, seeds, pool and token are enough."""
    text = "parameters:\n  config: {concept: penguin, seeds: a/s, pool: a/p}\n"
    assert check_run_file(_file(tmp_path, text)).concept == "penguin"


def test_the_fingerprint_sees_settings_and_not_where_results_go() -> None:
    """Another seed is another run; another output folder is not."""
    settings = RunSettings(**MINIMAL)
    assert settings.fingerprint() != replace(settings, seed=1).fingerprint()
    assert settings.fingerprint() == replace(settings, output="x").fingerprint()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_run_file_is_valid(path: Path) -> None:
    """No unknown key, no wrong value; hub models are pinned by a commit."""
    config = check_run_file(path)
    hub = not (ROOT / config.model.base_model).exists()
    if hub and path.stem != "paper":
        assert len(config.model.revision or "") == 40


@given(
    strategy=st.sampled_from(["random", "full", "seeds"]),
    cycles=st.integers(0, 30),
    steps=st.integers(1, 500),
)
def test_baselines_have_cotis_cap_of_steps(strategy: str, cycles: int, steps: int) -> None:
    """One cycle with as many steps as all of COTI's cycles together."""
    settings = RunSettings(
        **MINIMAL,
        strategy=strategy,
        train=TrainSettings(max_steps=steps),
        controller=ControllerSettings(max_cycles=cycles),
    )
    run = effective(settings)
    assert run.train.max_steps == steps * (cycles + 1)
    assert run.controller.max_cycles == 0
    assert selects_at(0, run) == (strategy != "seeds")


def test_only_some_parts_leave_the_others_at_their_defaults() -> None:
    """A change elsewhere is no change to a step; which of two GPUs computes is none, either."""
    settings = RunSettings(**MINIMAL, seed=5, train=TrainSettings(max_steps=7))
    part = settings.only("train")
    assert part == RunSettings(train=TrainSettings(max_steps=7))
    first, second = (
        replace(settings, model=ModelSettings(device=f"cuda:{index}")).only("model")
        for index in (0, 1)
    )
    assert first == second
    assert first.model.device == "cuda"
