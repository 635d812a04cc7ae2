"""What a cached result depends on."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zenml.steps import BaseStep
from zenml.utils import source_utils

from coti.settings import ModelSettings, RunSettings
from ops.stack import cache_policy
from ops.stack.cache_policy import PACKAGES, cached_by, code_fingerprint, modules_of
from ops.stack.locations import ROOT

STEPS = sorted(path.stem for path in (ROOT / "steps").glob("[!_]*.py"))
OUTSIDE = ("coti/report", "coti/commands", "coti/generation/editing.py", "coti/experiments")
"""What training imports nothing of."""


def cached_steps(name: str) -> list[BaseStep]:
    """The steps of a module that may come from the cache."""
    module = importlib.import_module(f"steps.{name}")
    own = [each for each in vars(module).values() if isinstance(each, BaseStep)]
    return [
        each
        for each in own
        if each.entrypoint.__module__ == module.__name__
        and each.configuration.enable_cache is not False
    ]


def names_of(module: str) -> set[str]:
    """The closure's files, from the repository's root."""
    return {path.relative_to(ROOT).as_posix() for path in modules_of(module)}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the sources that may be edited, read in place of ours."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / cache_policy.LOCK, tmp_path)
    monkeypatch.setattr(cache_policy, "ROOT", tmp_path)
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    """Sources are read once a process."""
    for name in ("code_fingerprint", "_imported_by", "_tree", "_meaning"):
        getattr(cache_policy, name).cache_clear()


def _edited(path: Path, edit: Callable[[str], str]) -> None:
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    _forget()


@pytest.mark.parametrize("name", [name for name in STEPS if cached_steps(name)])
def test_zenml_finds_each_steps_function(name: str) -> None:
    """By the name in its policy, as it does in a pod; it gives the hash of what it imports."""
    for each in cached_steps(name):
        policy = each.configuration.cache_policy
        assert policy is not None
        assert policy.cache_func is not None
        found = source_utils.load(policy.cache_func)
        assert found() == code_fingerprint(f"steps.{name}")
        assert policy.ignored_inputs == ["device"]


def test_what_training_imports() -> None:
    """The trainer, the families behind their registry, the settings; no report, no command."""
    found = names_of("steps.train_cycle")
    assert {
        "steps/train_cycle.py",
        "coti/loop/train.py",
        "coti/inversion/trainer.py",
        "coti/inversion/families/stable_diffusion_xl.py",
        "coti/inversion/adapters/embedding.py",
        "coti/scores/formulas.py",
        "materializers/embedding_file.py",
        "ops/stack/checkpoints.py",
    } <= found
    assert not [name for name in found if name.startswith(OUTSIDE)]
    assert {each for each in found if each.startswith("steps/")} == {
        "steps/__init__.py",
        "steps/train_cycle.py",
    }


def test_a_registrys_entry_counts_for_who_asks_for_it() -> None:
    """It is imported by its name alone: a strategy scores the pool and trains nothing."""
    strategies = {path.relative_to(ROOT).as_posix() for path in (ROOT / "coti/selection").glob("*")}
    scoring = names_of("steps.score_pool")
    assert {name for name in strategies if name.endswith(".py")} <= scoring
    assert "coti/inversion/trainer.py" not in names_of("steps.validate_pool")
    assert "coti/loop/learn.py" not in names_of("steps.validate_pool")
    assert "coti/pool/decode/decoder.py" in names_of("steps.ingest_pool")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\n# a remark\n",
        lambda text: text.replace('"""', '"""In other words: ', 1),
        lambda text: "\n\n" + text.replace("\n\n\n", "\n\n\n\n"),
    ],
    ids=["comment", "docstring", "layout"],
)
def test_what_only_readers_see_retrains_nothing(tree: Path, edit: Callable[[str], str]) -> None:
    """In the trainer itself."""
    before = code_fingerprint("steps.train_cycle")
    _edited(tree / "coti/inversion/trainer.py", edit)
    assert code_fingerprint("steps.train_cycle") == before


@pytest.mark.parametrize(
    ("path", "retrains"),
    [
        ("coti/report/page.py", False),
        ("coti/commands/generate.py", False),
        ("coti/generation/editing.py", False),
        ("coti/inversion/trainer.py", True),
        ("coti/inversion/families/stable_diffusion.py", True),
        ("coti/core/seeding.py", True),
        ("steps/train_cycle.py", True),
        ("materializers/embedding_file.py", True),
    ],
)
def test_an_edit_counts_where_it_is_imported(tree: Path, path: str, retrains: bool) -> None:
    """A statement more is another meaning, for training alone where training imports it."""
    before = code_fingerprint("steps.train_cycle"), code_fingerprint()
    _edited(tree / path, lambda text: text + "\nADDED = 1\n")
    after = code_fingerprint("steps.train_cycle"), code_fingerprint()
    assert (after[0] != before[0]) == retrains
    assert after[1] != before[1]


@settings(deadline=None, max_examples=4)
@given(name=st.sampled_from(STEPS))
def test_a_closure_is_closed(name: str) -> None:
    """What a module of it imports is in it, too, and each with its packages."""
    found = modules_of(f"steps.{name}")
    assert ROOT / "steps" / f"{name}.py" in found
    for path in found:
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        assert modules_of(module.removesuffix(".__init__")) <= found


def test_the_lock_and_the_threads_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other libraries, and other sums of float32."""
    before = code_fingerprint("steps.train_cycle")
    (tree / cache_policy.LOCK).write_text("other==1\n")
    _forget()
    locked = code_fingerprint("steps.train_cycle")
    monkeypatch.setattr("torch.get_num_threads", lambda: 63)
    _forget()
    assert len({before, locked, code_fingerprint("steps.train_cycle")}) == 3


def test_a_step_sees_its_own_settings_alone() -> None:
    """What it does not use, and which of two GPUs there is, changes nothing that it is given."""
    run = RunSettings(concept="boot", seed=3, model=ModelSettings(device="cuda:0"))
    names = ("model", "train", "seed")
    given_ = run.only(*names)
    assert given_.model.device == "cuda"
    other = replace(run, concept="shoe", output="x", model=replace(run.model, device="cuda:1"))
    assert other.only(*names) == given_
    assert replace(run, seed=4).only(*names) != given_
    assert replace(run, model=replace(run.model, device="cpu")).only(*names) != given_


def test_the_device_is_an_input_that_no_key_holds() -> None:
    """Every step that takes one: ZenML leaves out artifacts of that name (tests/steps runs it)."""
    assert cached_by("steps.train_cycle").ignored_inputs == ["device"]
    for wiring in ("concept", "experiments"):
        text = (ROOT / "pipelines" / f"{wiring}.py").read_text(encoding="utf-8")
        assert "ExternalArtifact(value=" in text
