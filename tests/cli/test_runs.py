"""`coti runs` as a user or a script meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.runs import runs
from coti.core.errors import ConfigError
from tests.ops.test_run_folders import make_run


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of runs that are under way."""
    names: set[str] = set()
    monkeypatch.setattr("ops.tracking.run_folders.is_live", lambda name: name in names)
    monkeypatch.setattr("cli.runs.quiet_terminal", lambda: None)
    return names


def _coti(output: Path, *words: str) -> Result:
    options = ["--output", str(output)]
    return CliRunner().invoke(runs, [*words, *options], catch_exceptions=False)


def test_runs_are_listed_and_shown(tmp_path: Path) -> None:
    """For people in a table, for scripts as one value with the same names."""
    make_run(tmp_path, "one", seed=3)
    table = _coti(tmp_path, "list").output
    assert [each.split()[:4] for each in table.splitlines()][1] == ["one", "boot", "3", "worked"]
    (listed,) = json.loads(_coti(tmp_path, "list", "--json").output)
    shown = json.loads(_coti(tmp_path, "show", "--json").output)
    assert shown.pop("files") == ["learned_embeds.safetensors", "run.json"]
    assert listed == shown
    assert (listed["concept"], listed["seed"], listed["kept_cycle"]) == ("boot", 3, 5)
    assert "learned_embeds.safetensors" in _coti(tmp_path, "show", "one").output
    empty = _coti(tmp_path / "empty", "list")
    assert "There is no run" in empty.output
    assert json.loads(_coti(tmp_path / "empty", "list", "--json").output) == []


def test_nothing_is_removed_unasked(tmp_path: Path) -> None:
    """No terminal, no --yes: a wrong command line. With --yes all of them or, at a fault, none."""
    for name in ("one", "two"):
        make_run(tmp_path, name)
    done = _coti(tmp_path, "rm", "one")
    assert (done.exit_code, "--yes is needed" in done.output) == (2, True)
    with pytest.raises(Exception, match="does not exist"):
        _coti(tmp_path, "rm", "one", "three", "--yes")
    with pytest.raises(ConfigError, match="latest is a link"):
        _coti(tmp_path, "rm", "latest", "--yes")
    assert len(json.loads(_coti(tmp_path, "list", "--json").output)) == 2
    assert _coti(tmp_path, "rm", "one", "one", "two", "--yes").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_live_run_is_not_removed(tmp_path: Path, live: set[str]) -> None:
    """Nor what was named beside it."""
    for name in ("one", "two"):
        make_run(tmp_path, name)
    live.add("two")
    with pytest.raises(ConfigError, match="two is under way"):
        _coti(tmp_path, "rm", "one", "two", "--yes")
    assert len(json.loads(_coti(tmp_path, "list", "--json").output)) == 2


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_is_asked(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yes removes, no does not and says so by its exit code."""
    folder = make_run(tmp_path, "one")
    monkeypatch.setattr("cli.runs._is_terminal", lambda: True)
    done = CliRunner().invoke(runs, ["rm", "one", "--output", str(tmp_path)], input=f"{answer}\n")
    assert done.exit_code == (0 if answer == "y" else 1)
    assert folder.exists() == (answer == "n")
