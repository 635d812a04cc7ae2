"""The ``coti`` command."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from coti import __version__
from coti.commands.project import installed_alone, project
from coti.core.ending import (
    BROKEN_PIPE,
    INTERRUPTED,
    end_in_a_sentence,
    open_standard_streams,
    reader_has_ended,
    require_current_folder,
    stopped,
)
from coti.core.errors import CotiError, shortened

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "curate": ("coti.commands.curate", "curate"),
    "dataset": ("coti.commands.dataset", "dataset"),
    "edit": ("coti.commands.edit", "edit"),
    "evaluate": ("coti.commands.evaluate", "evaluate"),
    "generate": ("coti.commands.generate", "generate"),
    "init": ("coti.commands.init", "init"),
    "pool": ("coti.commands.pool", "pool"),
    "rank": ("coti.commands.rank", "rank"),
    "review": ("coti.commands.review", "review"),
    "run": ("coti.commands.run_pipeline", "run"),
    "train": ("coti.commands.train_alone", "train"),
    "weights": ("coti.commands.weight_files", "weights"),
}
"""Name -> module and object; imported when asked for. The ZenML project adds its own."""


class _Lazy(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *project().commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = COMMANDS.get(cmd_name) or project().commands.get(cmd_name)
        if found is None:
            return None
        command: click.Command = getattr(import_module(found[0]), found[1])
        _refuse_empty(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if project().commands:
                raise
            raise click.UsageError(f"{error.message} {installed_alone()}", ctx) from error


_MAY_BE_EMPTY = {"bare_prompt", "negative_prompt", "prompt", "prompts", "texts"}
"""Words for the model, which may be none."""


def _refuse_empty(command: click.Command) -> None:
    """From now on an empty text is no value of its options: as a path it is the current folder."""
    for each in getattr(command, "commands", {}).values():
        _refuse_empty(each)
    for parameter in command.params:
        text = isinstance(parameter.type, click.Path | click.types.StringParamType)
        if text and parameter.name not in _MAY_BE_EMPTY:
            parameter.type = _NotEmpty(parameter.type)


class _NotEmpty(click.ParamType):  # type: ignore[type-arg]
    """A text or a path of one letter at least."""

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self._inner = inner
        self.name = inner.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("is empty: give a value, or leave it out.", param, ctx)
        return self._inner.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return self._inner.shell_complete(ctx, param, incomplete)


@click.group(
    cls=_Lazy,
    # All commands below have these from here.
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="coti")
def cli() -> None:
    """COTI: a concept for a text-to-image model, learned from a messy web pool.

    \b
    Examples:
      coti pool check my/pool --output checked
      coti generate --embedding latest --prompt "a photo of a {}"
    """
    project().start()


def main() -> None:
    """Run the command; whatever ends it is one line: all commands' codes are made here.

    :data:`coti.commands.exit_codes.EXIT_CODES` says what each means. Only a mistake in the program
    is a traceback.
    """
    open_standard_streams()
    end_in_a_sentence()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name may be no text, a terminal may not have a caption's letters: shown as it can be.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        require_current_folder()
        # Not in standalone mode, click returns the code of an `Exit` instead of raising it.
        code = cli(prog_name="coti", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):  # click has caught it
            raise
        _end_of_pipe(error.__context__)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(shortened(shown.getvalue()), nl=False, err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"Error: {stopped('Ctrl-C')}", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError as error:
        _end_of_pipe(error)
    except Exception as error:
        said = str(error) if isinstance(error, CotiError) else project().explain(error)
        if said is None:
            raise
        click.echo(f"Error: {said}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _end_of_pipe(error: BrokenPipeError) -> NoReturn:
    if reader_has_ended():
        # What is buffered still would be a second error when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(BROKEN_PIPE)
    said = project().explain(error) or (
        "A process or a server that the command talked to has ended (broken pipe): check it, then "
        "run the same command again."
    )
    click.echo(f"Error: {said}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
