from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import coti.commands.main
from cli.commands import ZenMLProject
from coti.commands.main import COMMANDS, cli
from coti.commands.project import Project, project


def test_the_repository_adds_its_commands() -> None:
    """Beside the library's, in one help; every name leads to a command, and none is given twice."""
    assert isinstance(project(), ZenMLProject)
    assert not set(COMMANDS) & set(project().commands)
    told = CliRunner().invoke(cli, ["--help"]).output
    for name in (*COMMANDS, *project().commands):
        assert f"\n  {name} " in told
        assert isinstance(cli.get_command(click.Context(cli), name), click.Command)


@pytest.mark.parametrize(
    ("checkout", "said"),
    [(True, "lacks ZenML: `make install` in it"), (False, "the package alone, installed in ")],
)
def test_the_package_alone_says_where_the_others_are(
    checkout: bool, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever stands in a checkout, too, is not sent there: which coti it is, and which to call."""
    if checkout:
        (tmp_path / "coti_concept.py").touch()
    monkeypatch.setattr("coti.commands.project._place", lambda: tmp_path)
    monkeypatch.setattr(coti.commands.main, "project", Project)
    done = CliRunner().invoke(cli, ["registry", "list"])
    assert done.exit_code == 2
    assert "No such command 'registry'" in done.output
    assert said in done.output
    assert str(tmp_path) in done.output


def test_a_wrong_name_in_a_checkout_is_that_alone() -> None:
    """Nothing is missing there."""
    assert "alone" not in CliRunner().invoke(cli, ["regsitry"]).output
