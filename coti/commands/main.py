"""The ``coti`` command."""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from coti import __version__
from coti.commands.project import project
from coti.core.ending import INTERRUPTED, end_in_a_sentence, stopped
from coti.core.errors import CotiError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "edit": ("coti.commands.edit", "edit"),
    "evaluate": ("coti.commands.evaluate", "evaluate"),
    "generate": ("coti.commands.generate", "generate"),
    "pool": ("coti.commands.pool", "pool"),
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
        return command


@click.group(cls=_Lazy)
@click.version_option(__version__, prog_name="coti")
def cli() -> None:
    """COTI: a concept for a text-to-image model, learned from a messy web pool."""
    project().start()


def main() -> None:
    """Run the command; whatever ends it is one line: all commands' codes are made here.

    0: done. 1: an error of ours, or one that the project explains. 2: a wrong command line. 130:
    Ctrl-C. 143: SIGTERM. Others are the command's own (`registry promote`, `retrain`). Only a
    mistake in the program is a traceback.
    """
    end_in_a_sentence()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name may be no text, a terminal may not have a caption's letters: shown as it can be.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Not in standalone mode, click returns the code of an `Exit` instead of raising it.
        code = cli(prog_name="coti", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"Error: {stopped('Ctrl-C')}", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        said = str(error) if isinstance(error, CotiError) else project().explain(error)
        if said is None:
            raise
        click.echo(f"Error: {said}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
