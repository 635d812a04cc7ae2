"""What the commands that generate are told, beside what an embedding's file says."""

from __future__ import annotations

from dataclasses import replace

import click
import torch
from click.testing import CliRunner

from coti.commands.generation_options import GenerationOptions, generation_options
from coti.generation.own_settings import with_settings
from coti.inversion.adapters.embedding import Embedding
from coti.settings import GenerationSettings

BARE = Embedding("<bare>", (torch.ones(2, 4),))
SEVEN = with_settings(replace(BARE, token="<seven>"), GenerationSettings(guidance_scale=7.0))
THREE = with_settings(replace(BARE, token="<three>"), GenerationSettings(guidance_scale=3.0))


@click.command()
@generation_options
def generate(how: GenerationOptions) -> None:
    """Prints what holds."""
    settings = how.settings_for([BARE, SEVEN, THREE], (4,))
    click.echo(f"guidance {settings.guidance_scale}, {settings.batch_size} at once")


def test_what_runs_did_in_different_ways_is_said_unless_it_is_given() -> None:
    """As whose run all images are made; options that change nothing of it don't hide that."""
    note = "Note: the embeddings' runs generated in different ways; all images here are made as"
    for options in ([], ["--batch-size", "3"], ["--num-inference-steps", "9"]):
        done = CliRunner().invoke(generate, options, catch_exceptions=False)
        assert done.stderr == f"{note} that of <seven> did.\n"
        assert done.stdout.startswith("guidance 7.0")
    assert "3 at once" in CliRunner().invoke(generate, ["--batch-size", "3"]).stdout
    done = CliRunner().invoke(generate, ["--guidance-scale", "2"], catch_exceptions=False)
    assert done.stderr == ""
