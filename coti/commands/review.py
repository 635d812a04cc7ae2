"""``coti review``: the last word on a set's images, in a browser."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from coti.commands.json_output import json_option, print_json
from coti.commands.missing_extras import need_extra

__all__ = ["review"]


@click.command()
@click.argument(
    "chosen", metavar="SET", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--who", help="Whose decisions they are.  [default: your login name]")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="Port on this machine; 0: a free one."
)
@click.option(
    "--also",
    type=click.IntRange(0, 10_000),
    default=0,
    help="So many images that were not chosen, too, the best ones: read from the pool.",
)
@click.option("--pool", help="Where the pool lies that SET is from, if it has been moved.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of what was fetched of the pool, as `coti curate` has it.",
)
@json_option
def review(
    chosen: Path,
    who: str | None,
    port: int,
    also: int,
    pool: str | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Keep, drop, rate and recaption the images of SET, by mouse and keyboard, in a browser.

    SET is a folder of `coti curate`, or a run's (outputs/RUN), whose images are read from its pool.
    Each decision is written at once, in SET/review, a Parquet file a sitting: several people may
    review one set at the same time, each by this command. The page is on this machine alone, at an
    address that nobody can guess; Ctrl-C ends it. `coti curate --review SET` and selection.review
    in a run file obey what was decided.
    With --json it prints how far the review is, and ends.

    \b
    Examples:
      coti review chicks
      coti review chicks --who ann --port 8600
      coti review chicks --also 100
      coti review outputs/latest --pool my/photos
      coti review chicks --json
    """
    need_extra("pool")
    from coti.dataset.chosen_set import read_set
    from coti.dataset.review_page import ReviewedSet, login_name, review_server, summary

    reviewed = ReviewedSet(read_set(chosen), who or login_name(), also=also, pool=pool, cache=cache)
    said = summary(reviewed)
    if as_json:
        print_json({"set": chosen, **said})
        return
    server, address = review_server(reviewed, port)
    click.echo(
        f"{click.format_filename(chosen)}: {said['images']} images, {said['kept']} kept, "
        f"{said['dropped']} dropped, {said['undecided']} undecided"
    )
    click.echo(f"Review: {address}  (Ctrl-C ends it)")
    with server, closing(reviewed):
        server.serve_forever()
