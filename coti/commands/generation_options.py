"""The options that `coti generate`, `coti edit` and `coti evaluate` share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from coti.commands.number_types import FiniteRange
from coti.settings import GenerationSettings, RunSettings

if TYPE_CHECKING:
    from coti.inversion.adapters.embedding import Embedding

__all__ = ["GenerationOptions", "embedding_options", "generation_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
_DEFAULT = GenerationSettings()
_MOST = GenerationSettings.MOST
_SEED = RunSettings.MOST["seed"]
_SETTINGS = (
    "num_inference_steps", "guidance_scale", "guidance_interval", "scheduler", "use_karras_sigmas",
)  # fmt: skip
_ORIGIN = {"revision": "revision", "sha256": "sha256", "config": "model_config"}
_AS_GIVEN = ("model", "seed", "negative_prompt", "device", "dtype", "batch_size")
"""Options that are fields of :class:`GenerationOptions` as they are."""


def _else(name: str) -> str:
    """What holds without an option."""
    return f"The run's own without it, else its model's preset's, else {getattr(_DEFAULT, name)}."


def embedding_options(command: Command) -> Command:
    """``--concept`` and ``--embedding``: which embeddings."""
    command = click.option(
        "--embedding",
        "embeddings",
        multiple=True,
        metavar="FILE|RUN[=TOKEN]",
        help="An embedding file, a run's folder, or a run's name below outputs/ (`latest`). "
        "Repeatable; =<token> gives it another placeholder token.",
    )(command)
    return click.option(
        "--concept",
        "concepts",
        multiple=True,
        metavar="NAME[@ALIAS|VERSION][=TOKEN]",
        help="A concept of the project's registry; its champion without @. Repeatable.",
    )(command)


@dataclass(frozen=True)
class GenerationOptions:
    """How a command was told to generate; its argument ``how``."""

    model: str | None
    """Base model; None for the one that the embeddings were trained on."""
    origin: dict[str, str]
    """What else finds ``model``: ``revision``, ``sha256``, ``config``, where given."""
    seed: int
    negative_prompt: str
    device: str
    dtype: str
    batch_size: int | None
    """Images at once, None for as many as is usual for the base model; changes no image."""
    given: dict[str, Any]
    """Of what images depend on in :class:`coti.settings.GenerationSettings`, what the command line
    says."""

    def settings_for(
        self, embeddings: Sequence[Embedding], widths: Sequence[int]
    ) -> GenerationSettings:
        """What the command line says; else as the run generated that learned the first of these;
        else as is usual for a base model of these widths."""
        from coti.generation.own_settings import differ, settings_of, usual_settings  # slow: torch

        settings, learned = settings_of(embeddings, widths)
        if learned is not None and differ(embeddings, self.given):
            click.echo(
                "Note: the embeddings' runs generated in different ways; all images here are made "
                f"as that of {learned.token} did.",
                err=True,
            )
        return replace(
            settings, batch_size=self.batch_size or usual_settings(widths).batch_size, **self.given
        )


def generation_options(command: Callable[..., None]) -> Callable[..., None]:
    """How images are generated and on what; the command gets them as ``how``."""
    options = [
        click.option("--model", help="Base model, as model.base_model. The one that the "
                     "embedding was trained on without it."),
        click.option("--revision", help="Of --model on the hub."),
        click.option("--sha256", help="Pinned hash of --model; s3:// needs it."),
        click.option("--model-config", help="What a single file is, where it does not tell: "
                     "sd15, sd2-base, sd2, sdxl, or a folder that describes it."),
        click.option("--seed", type=click.IntRange(-_SEED, _SEED), default=0,
                     help="Of the noise."),
        click.option("--num-inference-steps",
                     type=click.IntRange(1, _MOST["num_inference_steps"]),
                     help=f"Solver steps. {_else('num_inference_steps')}"),
        click.option("--guidance-scale",
                     type=FiniteRange(-_MOST["guidance_scale"], _MOST["guidance_scale"]),
                     help=f"Weight of the prompt. {_else('guidance_scale')}"),
        click.option("--guidance-interval", nargs=2, metavar="LOW HIGH",
                     type=FiniteRange(0, _MOST["guidance_interval"]),
                     help="Noise levels between which that weight holds; the run's own without "
                     "it, else everywhere."),
        click.option("--negative-prompt", default="", help="What the images should not show."),
        click.option("--scheduler",
                     help=f"A scheduler class of diffusers. {_else('scheduler')}"),
        click.option("--karras-sigmas/--no-karras-sigmas", "use_karras_sigmas", default=None,
                     help="Noise levels of Karras et al., with schedulers that know them. "
                     "The run's own without it, else its model's preset's, "
                     "else yes."),
        click.option("--batch-size", type=click.IntRange(1, _MOST["batch_size"]),
                     help="Images at once. The base model's preset's without it, else "
                     f"{_DEFAULT.batch_size}."),
        click.option("--device", default="auto",
                     help="auto, cpu, cuda, cuda:1, mps."),
        click.option("--dtype", default="auto",
                     type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                     help="Precision of the base model."),
    ]  # fmt: skip

    @functools.wraps(command)
    def bundled(**given: Any) -> None:
        said = {name: given.pop(name) for name in _SETTINGS}
        finds = {name: given.pop(option) for name, option in _ORIGIN.items()}
        origin = {name: value for name, value in finds.items() if value}
        if origin and given["model"] is None:
            raise click.UsageError("--revision, --sha256 and --model-config belong to --model.")
        said = {name: value for name, value in said.items() if value is not None}
        as_given = {name: given.pop(name) for name in _AS_GIVEN}
        command(how=GenerationOptions(**as_given, origin=origin, given=said), **given)

    decorated: Callable[..., None] = bundled
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
