"""The ``coti`` command."""

from __future__ import annotations

import logging
import sys

import click

from coti import __version__
from coti.core.errors import CotiError
from ops.quiet import log_file

__all__ = ["main"]

COMMANDS = {
    "edit": ("cli.edit", "edit"),
    "evaluate": ("cli.evaluate", "evaluate"),
    "generate": ("cli.generate", "generate"),
    "pool": ("cli.pool", "pool"),
    "registry": ("cli.registry", "registry"),
    "retrain": ("cli.retrain", "retrain"),
    "stack": ("cli.stack", "stack"),
    "studio": ("cli.studio", "studio"),
    "train": ("cli.train", "train"),
    "ui": ("cli.ui", "ui"),
    "weights": ("cli.weights", "weights"),
}
"""Name -> module and object; imported when asked for, since some bring heavy libraries."""


class _Lazy(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_Lazy)
@click.version_option(__version__, prog_name="coti")
def cli() -> None:
    """COTI: a new word for a text-to-image model, learned from a messy web pool."""
    from cli.stack import unset_empty_store_variables

    unset_empty_store_variables()


def main() -> None:
    """Run the command; our own errors, and a server that is gone, are one line and exit code 1."""
    try:
        # Not in standalone mode, click returns the code of an `Exit` instead of raising it.
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except CotiError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        from ops.terminal import user_sentence

        said = user_sentence(error, mid_run=False)
        if said is None:
            raise
        if log_file() is not None:
            logging.getLogger("coti").exception("the command ended with this:")
        click.echo(f"Error: {said}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
