"""``coti rehearse``: every step of a run in little, and what the whole will take."""

from __future__ import annotations

from pathlib import Path

import click

from cli.text_table import print_table
from coti.commands.json_output import json_option, print_json
from coti.commands.number_types import FiniteRange
from coti.commands.run_file_option import run_file_option
from ops.quiet import quiet_terminal

__all__ = ["rehearse"]


@click.command()
@run_file_option()
@click.option(
    "--random-weights",
    is_flag=True,
    help="Models of the true architectures with random weights; nothing is fetched.",
)
@click.option("--device", help="Instead of the file's model.device: auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--price",
    type=FiniteRange(0, 1e6),
    metavar="PER_HOUR",
    help="Of an hour of this machine, to say what the run costs.",
)
@json_option
def rehearse(
    config: Path, random_weights: bool, device: str | None, price: float | None, as_json: bool
) -> None:
    """Run every step of a run in little, and say how long the whole takes and what it needs.

    First what takes seconds: run file, images, weights, stack, registry, output; all problems are
    said. Then every step of the pipeline at its true size, resolution, widths and batches, with a
    handful of images, a few optimizer steps and generations, on a stack of its own that is thrown
    away. Then time by step, memory, disk and images of the whole run on this device, each with what
    could not be looked at. Exit codes: 0 it would run, 1 it would not.

    \b
    Examples:
      coti rehearse -c penguin.yaml
      coti rehearse -c configs/sd15.yaml --random-weights --price 1.20
    """
    quiet_terminal()
    from ops.rehearsal.throw_away import Rehearsing, throw_away_folder

    with throw_away_folder() as folder, Rehearsing(folder) as process:
        from ops.rehearsal.run_rehearsal import on_device
        from ops.rehearsal.run_rehearsal import rehearse as run
        from ops.run_file import check_run_file

        quiet_terminal(again=True)
        settings = on_device(check_run_file(config), device)
        answer = run(settings, process, random_weights=random_weights, price=price, said=_progress)
    if as_json:
        print_json(answer.row())
    else:
        for problem in answer.problems:
            click.echo(f"Problem: {problem}")
        for note in answer.notes:
            click.echo(f"Note: {note}")
        if answer.estimate is not None:
            head = ["step", "times", "time", "range", "share", "memory", "artifacts"]
            click.echo()
            print_table(head, answer.table())
            click.echo()
            click.echo("\n".join(answer.sentences()))
        for each in answer.unchecked:
            click.echo(f"Not checked: {each}")
        verdict = "It would run." if answer.would_run else "It would not run."
        click.echo(f"{verdict} The rehearsal took {answer.took:.0f} s.")
    raise click.exceptions.Exit(answer.exit_code)


def _progress(line: str) -> None:
    """What happens, beside the answer: of the run's own lines where it is."""
    if line.startswith(("Pool ", "Pre-flight", "Cycle ")):
        click.echo(f"  {line.partition('  ')[0].strip()}", err=True)
    elif line.startswith(("Checked", "Random")):
        click.echo(line, err=True)
