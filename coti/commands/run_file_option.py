"""``-c FILE``: the run file of a command, in one form everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["run_file_option"]


def run_file_option(
    said: str = "A run file, such as `coti init` writes.", required: bool = True
) -> Callable[[Any], Any]:
    """The option, as a decorator; the command takes it as ``config``, the path of a file.

    Args:
        said: the help.
        required: whether the command cannot do without.
    """
    return click.option(
        "-c",
        "--config",
        required=required,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=said,
    )
