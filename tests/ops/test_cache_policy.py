"""What a cached result depends on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from zenml.utils import source_utils

from ops.stack import cache_policy
from ops.stack.cache_policy import cached_by, code_fingerprint, modules_of
from ops.stack.locations import ROOT


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the sources that fingerprints are taken of."""
    for package in cache_policy.PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    monkeypatch.setattr(cache_policy, "ROOT", tmp_path)
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    cached = (code_fingerprint, cache_policy._sources, cache_policy._files_of)
    for each in (*cached, cache_policy._imported_by):
        each.cache_clear()


def _after(path: Path, old: str, new: str, step: str = "steps.train_cycle") -> tuple[str, str]:
    """A step's fingerprint before and after an edit."""
    before = code_fingerprint(step)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    _forget()
    return before, code_fingerprint(step)


def test_an_edit_of_the_trainer_trains_again(tree: Path) -> None:
    """And one of what it imports through others, however far down."""
    for name, old, new in (
        ("coti/inversion/trainer.py", "_CHECK_EVERY = 25", "_CHECK_EVERY = 24"),
        ("coti/inversion/batches.py", "import torch", "import torch\n_MINE = 1"),
        ("coti/inversion/families/stable_diffusion.py", "import torch", "import torch\n_MINE = 1"),
    ):
        before, after = _after(tree / name, old, new)
        assert before != after, name


def test_what_only_readers_see_trains_nothing_again(tree: Path) -> None:
    """A comment, a docstring, another layout of the trainer."""
    trainer = tree / "coti/inversion/trainer.py"
    text = trainer.read_text(encoding="utf-8")
    edited = text.replace('"""', '"""Said otherwise. ', 1) + "\n\n# A remark.\n"
    before, after = _after(trainer, text, edited)
    assert before == after


@pytest.mark.parametrize(
    "name",
    [
        "coti/report/page.py",
        "coti/generation/editing.py",
        "coti/commands/generate.py",
        "coti/pool/ingest.py",
        "coti/loop/judge_cycle.py",
        "coti/selection/oracle.py",
        "ops/registry/gate.py",
        "steps/write_outputs.py",
    ],
)
def test_an_edit_of_what_training_does_not_use_trains_nothing_again(tree: Path, name: str) -> None:
    """Reports, other commands, the judge: their edits reach their own steps alone."""
    path = tree / name
    text = path.read_text(encoding="utf-8")
    before, after = _after(path, text, f"{text}\n_MINE = 1\n")
    assert before == after
    assert path not in modules_of("steps.train_cycle")


@pytest.mark.parametrize("name", ["figures", "result_tables", "comparison"])
def test_an_edit_of_a_figure_computes_no_run_again(name: str) -> None:
    """What is drawn and written of an experiment's runs is no part of their keys."""
    path = ROOT / "coti" / "experiments" / f"{name}.py"
    assert path in modules_of("steps.write_results")
    assert path not in modules_of("steps.run_experiment")


def test_a_registrys_files_belong_to_the_steps_that_ask_it() -> None:
    """They are imported when they are asked for, by their names alone."""
    selecting, ingesting = modules_of("steps.select_batch"), modules_of("steps.ingest_pool")
    assert ROOT / "coti/selection/intelligent.py" in selecting
    assert ROOT / "coti/pool/sources/folder.py" in ingesting
    assert ROOT / "coti/pool/sources/folder.py" not in selecting
    assert ROOT / "coti/encoders/open_clip_encoder.py" in modules_of("steps.embed_pool")


def test_another_gpu_is_no_other_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the environment nor by the device's index, an input that keys leave out; what a
    review says is in another one."""
    before = code_fingerprint("steps.train_cycle")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    code_fingerprint.cache_clear()
    assert code_fingerprint("steps.train_cycle") == before
    assert cached_by("steps.train_cycle").ignored_inputs == ["device", "review"]


def test_zenml_finds_a_steps_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name in its policy, in any process."""
    # As after `coti stack up`; a fresh clone is no repository of ZenML's yet.
    monkeypatch.setattr(source_utils, "_CUSTOM_SOURCE_ROOT", str(ROOT))
    policy = cached_by("steps.train_cycle")
    assert policy.cache_func is not None
    found = source_utils.load(policy.cache_func)
    assert found() == code_fingerprint("steps.train_cycle")
    assert found() != source_utils.load(cached_by("steps.judge_cycle").cache_func)()


@pytest.mark.slow
def test_what_sources_say_is_remembered_by_their_content(tree: Path) -> None:
    """A second command parses nothing again; a memory that is broken is made anew."""
    first = code_fingerprint()
    memory = tree / cache_policy.KNOWN
    kept = memory.read_bytes()
    for broken in (b"", b"[]", b'{"a": 1}', kept[: len(kept) // 2]):
        memory.write_bytes(broken)
        _forget()
        assert code_fingerprint() == first
    assert memory.read_bytes() == kept
    written = memory.stat().st_ino
    _forget()
    assert code_fingerprint() == first
    assert memory.stat().st_ino == written
