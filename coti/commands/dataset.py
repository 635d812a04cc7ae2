"""``coti dataset``: what was chosen, for other people's trainers."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.json_output import json_option, print_json
from coti.commands.missing_extras import need_extra
from coti.commands.project import project

if TYPE_CHECKING:
    from coti.dataset.export import Exported

__all__ = ["dataset"]


@click.group()
def dataset() -> None:
    """Give what was chosen to a trainer of your choice.

    \b
    Example:
      coti dataset export chicks --for kohya --output chicks_kohya --trigger chck
    """


class _ExportCommand(click.Command):
    """Its help ends with the trainers that are known when it is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from coti.dataset.trainers import TRAINERS

        formatter.write_paragraph()
        formatter.write_text(
            f"Trainers: {', '.join(TRAINERS.names())}, or module:Class of your own."
        )


@dataset.command(cls=_ExportCommand)
@click.argument(
    "chosen",
    metavar="[SET]",
    required=False,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--concept", help="In place of SET: the run of this concept's champion.")
@click.option("--for", "trainer", required=True, metavar="TRAINER", help="Whose layout.")
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A new folder: images, captions, configuration, DATASHEET.md, manifest.parquet.",
)
@click.option("--trigger", help="The word that shall stand for the concept.")
@click.option(
    "--base-model",
    default="stabilityai/stable-diffusion-xl-base-1.0",
    help="SDXL's, named in the configuration.",
)
@click.option(
    "--resolution", type=click.IntRange(64, 8_192), default=1024, help="Pixels a side to train at."
)
@click.option("--pool", help="Where the pool lies by now, if it has been moved.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A pool setting.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of what was fetched: that of `coti curate`.",
)
@json_option
def export(
    chosen: Path | None,
    concept: str | None,
    trainer: str,
    output: Path,
    trigger: str | None,
    base_model: str,
    resolution: int,
    pool: str | None,
    changes: tuple[str, ...],
    cache: Path | None,
    as_json: bool,
) -> None:
    """Write SET for a trainer, with its own configuration ready to start.

    SET is a folder of `coti curate`, or a run's (outputs/RUN): then the images are read from the
    pool once more. Each is as it was found, not cut, its hash checked; one that is gone or has
    changed since ends it with nothing written.

    \b
    Examples:
      coti dataset export chicks --for ai-toolkit --output chicks_train --trigger chck
      coti dataset export outputs/latest --for diffusers --output chicks_train
      coti dataset export --concept "penguin chick" --for onetrainer --output chicks_train
    """
    need_extra("pool")
    from coti.core.whole_files import require_writable
    from coti.dataset.chosen_set import read_set
    from coti.dataset.export import export_set
    from coti.pool.check import settings_with

    if (chosen is None) == (concept is None):
        raise click.UsageError("Give SET, or --concept NAME in its place.")
    folder = chosen or project().tracking().run_folder(str(concept))
    require_writable(output)
    found = read_set(folder)
    exported = export_set(
        replace(found, rules=settings_with(changes, found.rules)),
        trainer,
        output,
        trigger=trigger or "",
        base_model=base_model,
        resolution=resolution,
        pool=pool,
        cache=cache,
    )
    if as_json:
        print_json({"set": folder, "for": trainer, "output": output, **asdict(exported)})
    else:
        _say(exported, output)


def _say(exported: Exported, output: Path) -> None:
    """What was written, for people."""
    shown = click.format_filename(output)
    click.echo(f"{shown}: {exported.images} images, {exported.masks} masks")
    for kind, number in exported.left_out.items():
        click.echo(f"  {number:>8}  left out: the trainer does not read {kind}")
    for name, number in exported.licenses.items():
        click.echo(f"  {number:>8}  licence {name}")
    click.echo(f"datasheet: {shown}/DATASHEET.md")
    click.echo(f"next, in {shown}: {exported.start}")
