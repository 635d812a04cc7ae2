"""The options that `coti generate`, `coti edit` and `coti evaluate` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from coti.settings import GenerationSettings

__all__ = ["drawing_options", "generation_settings", "word_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
_DEFAULT = GenerationSettings()


def word_options(command: Command) -> Command:
    """``--concept`` and ``--embedding``: where the learned words come from."""
    command = click.option(
        "--embedding",
        "embeddings",
        multiple=True,
        metavar="FILE|RUN[=TOKEN]",
        help="An embedding file, a run's folder, or a run's name below outputs/ (`latest`). "
        "Repeat it for several words; =<token> renames one.",
    )(command)
    return click.option(
        "--concept",
        "concepts",
        multiple=True,
        metavar="NAME[@ALIAS|VERSION][=TOKEN]",
        help="A concept of the registry; its champion without @.",
    )(command)


def drawing_options(command: Command) -> Command:
    """How pictures are drawn and on what."""
    options = [
        click.option("--model", help="Base model: a diffusers folder or hub id. The one that the "
                     "embedding was trained on without it."),
        click.option("--seed", default=0, show_default=True, help="Of the noise."),
        click.option("--num-inference-steps", type=click.IntRange(1), show_default=True,
                     default=_DEFAULT.num_inference_steps, help="Solver steps."),
        click.option("--guidance-scale", type=float, default=_DEFAULT.guidance_scale,
                     show_default=True, help="Weight of the prompt; Stable Diffusion: 7.5."),
        click.option("--negative-prompt", default="", help="What the pictures should not show."),
        click.option("--scheduler", default=_DEFAULT.scheduler, show_default=True,
                     help="A scheduler class of diffusers."),
        click.option("--batch-size", type=click.IntRange(1), default=_DEFAULT.batch_size,
                     show_default=True, help="Pictures at once."),
        click.option("--device", default="auto", show_default=True,
                     help="auto, cpu, cuda, cuda:1, mps."),
        click.option("--dtype", default="auto", show_default=True,
                     type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                     help="Precision of the base model."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def generation_settings(
    num_inference_steps: int, guidance_scale: float, scheduler: str, batch_size: int
) -> GenerationSettings:
    """The options as settings."""
    return replace(
        _DEFAULT,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        scheduler=scheduler,
        batch_size=batch_size,
    )
