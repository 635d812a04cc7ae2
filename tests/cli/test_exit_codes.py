"""What a shell, a CI or a CronJob is told by the command's exit code."""

from __future__ import annotations

import sys

import click
import pytest
from botocore.exceptions import EndpointConnectionError
from mlflow.exceptions import MlflowException
from requests.exceptions import ConnectionError as NoConnection

import coti.commands.main
from coti.core.errors import ConfigError


def _code(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> object:
    """Exit code of ``coti`` with a command that ends so."""

    @click.command()
    def command() -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(coti.commands.main.cli, "get_command", lambda context, name: command)
    monkeypatch.setattr(sys, "argv", ["coti", "command"])
    with pytest.raises(SystemExit) as ended:
        coti.commands.main.main()
    return ended.value.code


@pytest.mark.parametrize("code", [0, 1, 3, 10, 20])
def test_a_commands_code_reaches_the_shell(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """`coti retrain` says 10 or 20, `coti registry promote` 3, `coti stack check` 1."""
    assert _code(monkeypatch, click.exceptions.Exit(code)) == code


def test_errors_are_1_a_wrong_command_line_is_2_and_the_rest_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our own errors with one line, and without a traceback."""
    assert _code(monkeypatch, None) == 0
    assert _code(monkeypatch, ConfigError("no such thing: make it.")) == 1
    assert capsys.readouterr().err == "Error: no such thing: make it.\n"
    assert _code(monkeypatch, click.UsageError("what?")) == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MlflowException("not allowed"), "MLflow failed (not allowed)."),
        (EndpointConnectionError(endpoint_url="http://s3"), "The object store failed (Endpoint"),
        (NoConnection("no route"), "A server failed (no route)."),
        (OSError(28, "No space left on device", "/x"), "The disk is full (/x)"),
    ],
)
def test_a_server_that_is_gone_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    """Whichever it is, and also if a library has wrapped it; a mistake in the code stays one."""
    wrapped = RuntimeError("a step failed")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        assert _code(monkeypatch, each) == 1
        printed = capsys.readouterr().err
        assert printed.startswith(f"Error: {said}")
        assert printed.count("\n") == 1

    @click.command()
    def command() -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(coti.commands.main.cli, "get_command", lambda context, name: command)
    with pytest.raises(KeyError):
        coti.commands.main.main()
