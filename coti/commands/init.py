"""``coti init``: from a folder of images to a run file."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.project import project
from coti.core.errors import ConfigError, PoolError
from coti.core.file_rules import user_path
from coti.core.tokens import token_of
from coti.settings.presets import PRESETS, says

if TYPE_CHECKING:
    from coti.pool.chosen_images import ChosenImage

__all__ = ["init"]

_ASKED = {
    "concept": "The concept's name, such as emperor penguin chick",
    "preset": "Models and settings that belong together",
    "pool": "Candidates: a folder, tar shards, a table of URLs, or s3://",
    "initializer": "A word of the model near the concept, such as penguin",
}
"""What is asked for on a terminal, in this order."""
_SIGNS = re.compile(r"""[\\/:*?"<>|()\[\]{},]+""")
_SHOWN = 10
"""Refused images that are named."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--concept", help="The concept's name.")
@click.option("--token", help="The word that is learned; without it made of the concept's name.")
@click.option("--initializer", help="Where the word starts: one token of the model, or a file.")
@click.option("--preset", type=click.Choice(PRESETS), help="Models that belong together.")
@click.option("--pool", help="Candidates: a folder, tar shards, a table of URLs, or s3://.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The run file; without it named by the concept, in the current folder.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(
    folder: Path,
    concept: str | None,
    token: str | None,
    initializer: str | None,
    preset: str | None,
    pool: str | None,
    output: Path | None,
    force: bool,
) -> None:
    """Write a run file for the concept that the images in FOLDER, its seeds, show.

    Says which of them can be used. Asks on a terminal for what no option gives.

    \b
    Examples:
      coti init my/penguins
      coti init my/penguins --concept "emperor penguin chick" --initializer penguin \\
        --preset sd15 --pool my/pool --output penguin.yaml
    """
    from coti.core.whole_files import write_whole
    from coti.pool.chosen_images import look_at_chosen_images
    from coti.settings.new_run_file import new_run_file

    given = {"concept": concept, "preset": preset, "pool": pool, "initializer": initializer}
    _require_answers(given)
    if pool is not None:
        pool = _as_a_run_finds(pool)
    _refuse_present(output, force)
    seen = _told(look_at_chosen_images(folder), folder)
    concept = concept or _ask("concept")
    output = output or Path(f"{_plain(concept)}.yaml")
    _refuse_present(output, force)
    preset = preset or _ask("preset")
    pool = pool or _as_a_run_finds(_ask("pool"))
    text = new_run_file(
        preset=preset,
        concept=concept,
        seeds=_as_a_run_finds(str(folder)),
        pool=pool,
        token=token or token_of(f"<{_plain(concept)}>"),
        initializer=initializer or _ask("initializer"),
        seen=seen,
    )
    write_whole(output, text.encode())
    click.echo(f"preset {preset}: {says(preset)}")
    click.echo(f"{output} is written: look at it, then")
    words = ["coti", "run", "-c", str(output)]
    if not project().has_pipeline:
        words = ["coti", "train", str(folder), "-c", str(output), "--output"]
        words.append(str(output.with_suffix(".safetensors")))
    click.echo(f"  {shlex.join(words)}")


def _require_answers(given: dict[str, str | None]) -> None:
    """Without a terminal nobody can be asked."""
    missing = [f"--{name}" for name in _ASKED if given[name] is None]
    if missing and not sys.stdin.isatty():
        raise click.UsageError(f"Give {', '.join(missing)}: there is no terminal to ask on.")


def _ask(name: str) -> str:
    kind = click.Choice(PRESETS) if name == "preset" else None
    for preset in PRESETS if kind else ():
        click.echo(f"  {preset:<8} {says(preset)}")
    answer: str = click.prompt(_ASKED[name], type=kind)
    return answer.strip()


def _plain(concept: str) -> str:
    """The concept's name as a file's and a token's: no sign that a system or a web UI reads.

    >>> _plain("Mr. O'Neil: chick (2/3)")
    "mr.-o'neil-chick-23"
    """
    return token_of(_SIGNS.sub("", concept)).strip(".-") or "concept"


def _refuse_present(output: Path | None, force: bool) -> None:
    if output is not None and os.path.lexists(output) and not force:
        raise ConfigError(
            f"{output} is there already: name another file with --output, or write over it with "
            "--force."
        )


def _as_a_run_finds(name: str) -> str:
    """A path from where a run looks: the repository's root; outside of it, whole.

    Raises:
        ConfigError: nothing is there.
    """
    if "://" in name:
        return name
    path = Path(os.path.abspath(user_path(name)))
    if not path.exists():
        raise ConfigError(f"{name} does not exist: mend the path, or give an address (s3://…).")
    root = os.path.abspath(project().root)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _told(images: Sequence[ChosenImage], folder: Path) -> str:
    """Says what the folder holds; returns the line on those that can be used.

    Raises:
        PoolError: none of them can.
    """
    from coti.core.fitting import share_cut
    from coti.pool.cut_images import cut_sentence

    refused = [image for image in images if image.refused]
    good = sorted((image for image in images if not image.refused), key=lambda image: image.pixels)
    for image in refused[:_SHOWN]:
        click.echo(image.refused, err=True)
    if len(refused) > _SHOWN:
        click.echo(f"… and {len(refused) - _SHOWN} more", err=True)
    if not good:
        raise PoolError(f"{folder} holds no image that can be used: put some good ones into it.")
    sizes = [f"{image.width}×{image.height}" for image in (good[0], good[-1])]
    count = "1 image" if len(good) == 1 else f"{len(good)} images"
    seen = f"{count}, {' to '.join(dict.fromkeys(sizes))} pixels"
    shown = click.format_filename(folder)
    click.echo(f"{shown}: {seen}" + (f", and {len(refused)} refused" if refused else ""))
    if cut := cut_sentence((share_cut(image.width, image.height) for image in good), "the seeds"):
        click.echo(cut)
    if refused:
        click.echo("A run stops at the first of these: mend them or take them out before.")
    return seen
