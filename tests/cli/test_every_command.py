"""What holds for each option and argument of each command."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from coti.commands.main import _MAY_BE_EMPTY, COMMANDS, cli
from coti.commands.project import project
from ops.stack.locations import locate

ROOT = Path(__file__).resolve().parents[2]


def _commands(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """The command and, of a group, all below it."""
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{words} {name}")


def _every() -> Iterator[tuple[str, click.Command]]:
    """All commands and groups, as the command line names them."""
    context = click.Context(cli)
    for name in sorted({*COMMANDS, *project().commands}):
        found = cli.get_command(context, name)
        assert found is not None
        yield from _commands(found, name)


def _parameters() -> Iterator[Any]:
    for words, command in _every():
        for parameter in command.params:
            yield pytest.param(command, parameter, id=f"{words} {parameter.name}")


def _given(parameter: click.Parameter, value: str) -> Any:
    """As the command line gives it."""
    one = (value,) * parameter.nargs if parameter.nargs > 1 else value
    return (one,) if parameter.multiple or parameter.nargs == -1 else one


PARAMETERS = list(_parameters())
EACH = pytest.mark.parametrize(("command", "parameter"), PARAMETERS)


def _help(words: str, option: str) -> str:
    done = CliRunner().invoke(cli, [*words.split(), option])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("words", ["", *(words for words, _ in _every())])
def test_every_command_helps_in_the_same_way(words: str) -> None:
    """-h is --help, and there is an example that begins as the command does."""
    told = _help(words, "-h")
    assert told == _help(words, "--help")
    assert "-h, --help" in told
    _, example, lines = told.partition("\n  Example")
    assert example
    assert f"\n    coti {words}".rstrip() in lines.split("\n\n")[0]


@EACH
def test_a_default_is_shown(
    command: click.Command, parameter: click.Parameter, request: pytest.FixtureRequest
) -> None:
    """Of an option in brackets, of an argument in the text; a flag that is off has none."""
    words = request.node.callspec.id.rpartition(" ")[0]
    default = parameter.get_default(click.Context(command))
    if default in (None, (), False) or "UNSET" in repr(default):
        return
    if isinstance(parameter, click.Argument):
        told = _help(words, "-h").partition("\n")[2]
        assert parameter.human_readable_name.strip("[]") in told
        assert str(default) in told
        return
    assert isinstance(parameter, click.Option)
    context = cli.make_context("coti", words.split(), resilient_parsing=True)
    record = parameter.get_help_extra(click.Context(command, parent=context))
    assert record.get("default") is not None


def test_examples_are_command_lines() -> None:
    """Each option that an example gives is one of its command's."""
    for words, command in _every():
        own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        help_text = re.sub(r"\\\s*\n", " ", command.help or "")  # lines that go on
        for line in help_text.splitlines():
            if line.strip().startswith(f"coti {words} ") and not hasattr(command, "commands"):
                given = [word for word in shlex.split(line) if word.startswith("-")]
                assert set(given) <= own, line


@EACH
def test_numbers_have_bounds(command: click.Command, parameter: click.Parameter) -> None:
    """What would never end, or overflow, is refused with the option's name."""
    if not isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return
    context = click.Context(command)
    for wrong in ("1" + "0" * 30, "-1" + "0" * 30, "1e300", "-1e300", "nan", "inf", str(2**63)):
        with pytest.raises(click.BadParameter):
            parameter.process_value(context, _given(parameter, wrong))


@EACH
def test_an_empty_text_is_no_value(command: click.Command, parameter: click.Parameter) -> None:
    """As a path it would be the current folder; a prompt may be none."""
    if parameter.name in _MAY_BE_EMPTY or getattr(parameter, "is_flag", False):
        return
    with pytest.raises(click.BadParameter):
        parameter.process_value(click.Context(command), _given(parameter, ""))


def _says(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coti.commands.main", *words],
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        **how,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        *(("pool", "check", "LONG", "--output", "o"), ("pool", "check", "x", "--output", "LONG")),
        *(("pool", "diff", "LONG", "x"), ("weights", "hash", "LONG"), ("weights", "fetch", "LONG")),
        *(("train", "LONG", "-c", "x", "--output", "x.safetensors"), ("regimes", "LONG")),
        *(
            ("pool", "check", "x", "--output", "o", "--set", "LONG"),
            ("generate", "--prompts-file", "LONG"),
        ),
        ("pool", "check", "x", "--output", "o", "--set", "min_side=LONG"),
    ],
    ids=" ".join,
)
def test_what_is_quoted_is_cut(words: tuple[str, ...], tmp_path: Path) -> None:
    """A path of 5,000 letters is no sentence."""
    done = _says(*(word.replace("LONG", "a" * 5_000) for word in words), cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 1_500


def test_no_path_raises_for_a_user_who_is_none() -> None:
    """``Path.expanduser`` does, ``user_path`` doesn't: it alone is used."""
    assert locate("~nobodyx/x") == "~nobodyx/x" or locate("~nobodyx/x").endswith("/~nobodyx/x")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("coti", "ops", "steps", "cli", "pipelines", "materializers")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "expanduser"
        if not (isinstance(node.value, ast.Attribute) and node.value.attr == "path")
    ]
    assert found == []
