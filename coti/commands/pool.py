"""``coti pool``: look at a pool before anything is trained on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.image_options import fit_options
from coti.commands.json_output import json_option, print_json
from coti.commands.missing_extras import need_extra

if TYPE_CHECKING:
    from coti.core.fitting import Fit
    from coti.pool.check import CheckResult

__all__ = ["pool"]


@click.group()
def pool() -> None:
    """Check a pool of images, or compare two versions of one.

    \b
    Examples:
      coti pool check my/pool --output checked
      coti pool diff checked checked_again
    """


class _CheckCommand(click.Command):
    """Its help ends with the kinds that are known when it is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from coti.pool.sources import POOL_SOURCES

        formatter.write_paragraph()
        known = f"auto, {', '.join(POOL_SOURCES.names())}, or module:Class of your own"
        formatter.write_text(f"Kinds of pools, --set kind=KIND: {known}.")


@pool.command(cls=_CheckCommand)
@click.argument("path")
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.html, manifest.parquet, images.parquet and validation.json.",
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A pool setting.")
@click.option(
    "--previous",
    type=click.Path(exists=True),
    help="Manifest to measure drift against; else the one already in the output folder.",
)
@click.option(
    "--resolution",
    type=click.IntRange(1, 4_096),
    default=256,
    help="Pixels a side in the report.",
)
@fit_options
@json_option
def check(
    path: str,
    output: Path,
    changes: tuple[str, ...],
    previous: str | None,
    resolution: int,
    fit: Fit,
    as_json: bool,
) -> None:
    """Ingest and validate PATH: a folder, tar shards, a table of URLs, or an s3:// prefix.

    Writes report.html and manifest.parquet (a row an input: accepted or quarantined, and why).

    \b
    Example:
      coti pool check my/pool --output checked --set min_side=256 --fit pad
    """
    need_extra("pool")
    from coti.pool.check import check_pool, settings_with

    result = check_pool(path, output, settings_with(changes), resolution, previous, fit)
    shown = click.format_filename(path)
    if as_json:
        print_json({"pool": shown, **dataclasses.asdict(result), "report": output / "report.html"})
    else:
        _say(result, shown, output)
    if result.problem:
        raise click.ClickException(result.problem)
    if not as_json:
        click.echo(f"next: a run file with `pool: {shown}` (docs/guides/your_concept.md)")


def _say(result: CheckResult, shown: str, output: Path) -> None:
    """What a check found, for people."""
    click.echo(f"{shown}: {result.kind}")
    for note in result.notes:
        click.echo(f"  {note}")
    counts = result.counts
    total = counts["accepted"] + counts["quarantined"]
    click.echo(
        f"{total} inputs = {counts['accepted']} accepted + {counts['quarantined']} quarantined"
    )
    for reason, number in list(counts.items())[2:]:
        click.echo(f"  {number:>8}  {reason}")
    if result.cut:
        click.echo(result.cut)
    click.echo(f"version {result.version}")
    click.echo(f"report: {output / 'report.html'}")


@pool.command()
@click.argument("before", type=click.Path())
@click.argument("after", type=click.Path())
@json_option
def diff(before: str, after: str, as_json: bool) -> None:
    """Say what changed between BEFORE and AFTER: manifests, or folders that `check` wrote.

    \b
    Example:
      coti pool diff checked checked_again
    """
    need_extra("pool")
    from coti.pool.manifest import diff as compare
    from coti.pool.manifest import read_manifest

    changes = compare(read_manifest(before), read_manifest(after))
    if as_json:
        print_json(dataclasses.asdict(changes))
        return
    if changes.same:
        click.echo("The same pool.")
        return
    for kind in ("added", "removed", "changed", "recaptioned"):
        names = getattr(changes, kind)
        if names:
            click.echo(f"{kind}: {len(names)}")
            for name in names[:10]:
                click.echo(f"  {name}")
            if len(names) > 10:
                click.echo(f"  … and {len(names) - 10} more (--json lists all)")
    if changes.judged:
        click.echo(f"judged differently: {len(changes.judged)}")
        for name, old, new in changes.judged[:10]:
            click.echo(f"  {name}: {old} → {new}")
