"""``coti run``: the whole loop, by the pipeline of the ZenML project."""

from __future__ import annotations

from pathlib import Path

import click

from coti.commands.project import project
from coti.commands.run_file_option import run_file_option

__all__ = ["run"]


@click.command()
@run_file_option(
    "A run file, such as `coti init` writes; without one the bundled concept is learned.",
    required=False,
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting over the file's, such as train.max_steps=200; repeatable.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="As --set seed=SEED.")
def run(config: Path | None, changes: tuple[str, ...], seed: int | None) -> None:
    """Learn a concept from its seeds and its pool, cycle by cycle.

    The same as `zenml pipeline run coti_concept -c FILE`, from any folder. Paths in the file start
    at the root of the repository. Run it again and what is done comes from the cache.

    \b
    Examples:
      coti run -c penguin.yaml
      coti run -c penguin.yaml --set preset=sd2 --set train.max_steps=200 --seed 1
    """
    project().run_pipeline(config, (*changes, *([] if seed is None else [f"seed={seed}"])))
