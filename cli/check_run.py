"""``coti check``: before any training, whether pool, seeds, words and base model go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from coti.commands.json_output import json_option, print_json
from coti.commands.run_file_option import run_file_option
from ops.quiet import quiet_terminal

__all__ = ["check"]


@click.command()
@run_file_option()
@json_option
def check(config: Path, as_json: bool) -> None:
    """Look at a run before it begins: nothing is trained or written.

    Says how many images of the pool would be accepted, whether they are like the seeds, the seeds
    like each other, and whether the base model's autoencoder gives them back. The run itself looks
    at the same before its first cycle. Exit codes: 0 nothing speaks against it, 4 doubtful, 5 it
    would fail.

    \b
    Examples:
      coti check -c penguin.yaml
      coti check -c penguin.yaml --json
    """
    quiet_terminal()
    from coti.inversion.adapters.embedding import Embedding
    from coti.loop.data import Models
    from coti.loop.preflight import check as look
    from coti.pool.concept_data import concept_data
    from ops.run_file import check_run_file
    from ops.stack.loaded_models import encoders_of, located, text_to_image
    from ops.stack.locations import locate

    settings = located(check_run_file(config))
    quiet_terminal(again=True)
    # Neither references nor a ground truth: a run is judged before it begins without them.
    settings = replace(
        settings,
        pool=locate(settings.pool),
        seeds=locate(settings.seeds),
        references=None,
        ground_truth=None,
    )
    base = text_to_image(settings.model)
    Embedding.initial(base, settings.token)  # refuses its words before the pool takes its time
    models = Models(base, encoders_of(settings))
    verdict = look(models, concept_data(settings, models), settings)
    if as_json:
        print_json(verdict.row())
    else:
        if "accepted" in verdict.facts:
            click.echo(f"{verdict.facts['accepted']:.0f} images of the pool pass the scorer.")
        click.echo(verdict.sentence)
    raise click.exceptions.Exit(verdict.exit_code)
