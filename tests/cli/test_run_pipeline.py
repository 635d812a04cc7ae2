"""``coti run``: which command it becomes, on which run file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from coti.commands.main import cli
from coti.commands.project import Project
from coti.core.errors import ConfigError
from coti.settings.from_yaml import read_run_file
from ops import zenml_command
from ops.stack.locations import ROOT
from ops.zenml_command import kept_run_file, pipeline_run

RUN = "run_name: mine\nparameters:\n  config: {concept: a, seeds: s, pool: p, seed: 4}\n"


def test_it_is_zenmls_own_command() -> None:
    """Of this interpreter's environment, with the file's whole path."""
    words = pipeline_run("coti_concept", Path("configs/quickstart.yaml"))
    zenml = [sys.executable, str(Path(sys.executable).parent / "zenml"), "pipeline", "run"]
    assert words == [*zenml, "coti_concept", "-c", str(Path("configs/quickstart.yaml").resolve())]
    assert pipeline_run("coti_concept", None) == [*zenml, "coti_concept"]


def test_changes_are_kept_in_a_run_file_of_their_own(tmp_path: Path) -> None:
    """The file's other keys stay; the same changes are the same file, and nobody else reads it."""
    path = tmp_path / "penguin.yaml"
    path.write_text(RUN, encoding="utf-8")
    kept = kept_run_file(path, ["train.max_steps=7", "seed=1"], tmp_path)
    assert kept == kept_run_file(path, ["train.max_steps=7", "seed=1"], tmp_path)
    assert kept != kept_run_file(path, ["train.max_steps=8", "seed=1"], tmp_path)
    settings = read_run_file(kept)
    assert (settings.train.max_steps, settings.seed, settings.pool) == (7, 1, "p")
    assert kept.read_text(encoding="utf-8").startswith("run_name: mine\n")
    assert kept.name.startswith("penguin-")
    assert (tmp_path / ".coti").stat().st_mode & 0o077 == 0


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The words that the command becomes; this process has to go on, and stay where it is."""
    words: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda program, said: words.append(said))
    monkeypatch.setattr(os, "chdir", lambda folder: words.append(folder))
    monkeypatch.setattr("ops.zenml_command.kept_run_file.__defaults__", (tmp_path,), raising=True)
    return words


def test_the_command_becomes_it(became: list[Any], tmp_path: Path) -> None:
    """From the repository's root, where ZenML finds the pipeline; as it is without changes."""
    path = tmp_path / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    CliRunner().invoke(cli, ["run", "-c", str(path)], catch_exceptions=False)
    assert became == [ROOT, pipeline_run("coti_concept", path)]
    CliRunner().invoke(cli, ["run"], catch_exceptions=False)
    assert became[3] == pipeline_run("coti_concept", None)
    said = ["run", "-c", str(path), "--set", "seed=3", "--seed", "9"]
    CliRunner().invoke(cli, said, catch_exceptions=False)
    assert read_run_file(Path(became[5][-1])).seed == 9
    CliRunner().invoke(cli, ["run", "--set", "train.max_steps=3"], catch_exceptions=False)
    quick = read_run_file(Path(became[7][-1]))
    assert (quick.concept, quick.train.max_steps) == ("ankle boot", 3)


def test_a_wrong_change_becomes_nothing(became: list[Any], tmp_path: Path) -> None:
    """One sentence with the file and the nearest key."""
    path = tmp_path / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    done = CliRunner().invoke(cli, ["run", "-c", str(path), "--set", "trian.max_steps=3"])
    said = f"{path} with --set trian.max_steps=3: unknown key 'trian': remove it or write train."
    assert str(done.exception) == said
    assert became == []


def test_the_wheel_says_what_is_missing() -> None:
    """In one sentence, with what it can do."""
    with pytest.raises(ConfigError, match=r"belongs to the ZenML project: .*`coti train` trains"):
        Project().run_pipeline(None, ())
    assert zenml_command.ROOT == ROOT
