"""``coti runs``: the folders that runs left, looked at and removed."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cli.text_table import print_table
from coti.commands.json_output import json_option, print_json
from ops.quiet import quiet_terminal

if TYPE_CHECKING:
    from ops.tracking.run_folders import RunFolder

__all__ = ["runs"]

OUTPUT = click.option(
    "--output",
    default="outputs",
    help="Folder of the runs' folders: `output` of their run files.",
)


@click.group()
def runs() -> None:
    """List, show and remove the folders of runs that have ended.

    \b
    Examples:
      coti runs list
      coti runs rm ankle-boot-seed-0-2026_01_31-09_30_00_000000
    """


@runs.command("list")
@OUTPUT
@json_option
def list_(output: str, as_json: bool) -> None:
    """List the runs, the newest first.

    SIZE is that of the folder alone: artifacts in ZenML's store and MLflow's records, by far the
    most, are not counted.

    \b
    Example:
      coti runs list --json
    """
    from ops.tracking.run_folders import run_folders

    found = run_folders(output)
    if as_json:
        print_json([_values(run) for run in found])
        return
    if not found:
        click.echo(f"There is no run in {output}: `zenml pipeline run coti_concept` makes one.")
        return
    rows = [
        [
            run.name,
            run.concept,
            run.seed,
            run.outcome,
            run.finished,
            run.cycles,
            run.kept_cycle,
            _size(run),
        ]
        for run in found
    ]
    print_table(["run", "concept", "seed", "verdict", "finished", "cycles", "kept", "size"], rows)


@runs.command()
@click.argument("name", default="latest")
@OUTPUT
@json_option
def show(name: str, output: str, as_json: bool) -> None:
    """Show one run: what it was, and its files. NAME is `latest` by default, the newest.

    \b
    Example:
      coti runs show latest
    """
    from ops.tracking.run_folders import find_run

    run = find_run(name, output)
    files = sorted(each.name for each in run.folder.iterdir() if not each.name.startswith("."))
    if as_json:
        print_json({**_values(run), "files": files})
        return
    facts = {**_values(run), "bytes": f"{run.bytes:,} (of the folder alone)", "files": files}
    print_table(["what", "value"], [[what, value] for what, value in facts.items()])


@runs.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@OUTPUT
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
def rm(names: tuple[str, ...], output: str, yes: bool) -> None:
    """Remove the folders of runs: only ones that we made, and none of a run that is under way.

    What ZenML, MLflow and the registry have of them stays, and registered versions keep working.

    \b
    Example:
      coti runs rm ankle-boot-seed-0-2026_01_31-09_30_00_000000 --yes
    """
    from coti.core.errors import ConfigError
    from ops.stack.locations import LATEST
    from ops.tracking.run_folders import find_run, is_live, remove_run

    if LATEST in names:
        raise ConfigError("latest is a link, and none is followed here: name the run itself.")
    found = [find_run(name, output) for name in dict.fromkeys(names)]
    if not yes:
        if not _is_terminal():
            raise click.UsageError("--yes is needed where nobody can be asked.")
        for run in found:
            click.echo(f"{run.folder} ({_size(run)})")
        if not click.confirm(f"Remove {len(found)} folder{'s' * (len(found) > 1)}?"):
            click.echo("Nothing is removed.")
            raise click.exceptions.Exit(1)
    quiet_terminal()
    live = [run.name for run in found if is_live(run.name)]
    if live:
        raise ConfigError(
            f"{', '.join(live)} is under way, as ZenML says: nothing is removed. Wait, or "
            "`zenml pipeline runs stop` it."
        )
    for run in found:
        remove_run(run)
        click.echo(f"Removed {run.folder}.")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _values(run: RunFolder) -> dict[str, Any]:
    return {**asdict(run), "folder": str(run.folder)}


def _size(run: RunFolder) -> str:
    return f"{run.bytes / 1e6:,.1f} MB"
