from __future__ import annotations

import click
from click.testing import CliRunner

from cli.commands import ZenMLProject
from coti.commands.main import COMMANDS, cli
from coti.commands.project import project


def test_the_repository_adds_its_commands() -> None:
    """Beside the library's, in one help; every name leads to a command, and none is given twice."""
    assert isinstance(project(), ZenMLProject)
    assert not set(COMMANDS) & set(project().commands)
    told = CliRunner().invoke(cli, ["--help"]).output
    for name in (*COMMANDS, *project().commands):
        assert f"\n  {name} " in told
        assert isinstance(cli.get_command(click.Context(cli), name), click.Command)
