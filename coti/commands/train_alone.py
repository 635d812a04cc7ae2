"""``coti train``: textual inversion alone, on a folder of images, on one GPU or several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.project import project
from coti.commands.run_file_option import run_file_option

if TYPE_CHECKING:
    from coti.core.image_set import ImageSet
    from coti.settings import RunSettings

__all__ = ["train"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@run_file_option(
    "A run file: model, token, images, train, schedule, concept, seed and captions of it are used; "
    "generation is noted in the file."
)
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The embedding's file, .safetensors.",
)
@click.option("--checkpoint", type=click.Path(file_okay=False), help="Folder to resume from.")
@click.option("--adapter", default="embedding", help="What is trained.")
def train(folder: Path, config: Path, output: Path, checkpoint: str | None, adapter: str) -> None:
    """Train an embedding on the images of FOLDER.

    No pool, no selection, no ZenML: the trainer alone. Several GPUs, or processes, share each step
    with `accelerate launch --multi_gpu --num_processes 2 -m coti.commands.main train …`.

    \b
    Example:
      coti train my/boots -c boots.yaml --output boots.safetensors
    """
    from coti.commands.embedding_sources import located_model
    from coti.core.errors import ConfigError
    from coti.core.image_set import ImageSet
    from coti.core.seeding import derived_seed
    from coti.core.whole_files import require_writable
    from coti.generation.own_settings import with_settings
    from coti.inversion.adapters.embedding_file import require_file_name
    from coti.inversion.adapters.registry import ADAPTERS
    from coti.inversion.base_model import load_text_to_image
    from coti.inversion.checkpoint import FolderCheckpointStore
    from coti.inversion.latent_store import FolderLatentStore
    from coti.inversion.processes import Processes
    from coti.inversion.trainer import train_cycle
    from coti.pool.chosen_images import read_chosen_images
    from coti.settings.from_yaml import read_run_file

    settings = read_run_file(config)
    if output.suffix != ".safetensors":
        raise ConfigError(f"--output {output}: an embedding is a .safetensors file.")
    require_file_name(output, settings.token.placeholder_token)
    require_writable(output.parent)
    kind = ADAPTERS.get(adapter)
    model = load_text_to_image(located_model(settings.model))
    ids, _, images = read_chosen_images(folder, model.resolution, settings.images.rule)
    start = kind.initial(
        model,
        replace(settings.token, initializer=project().locate(settings.token.initializer)),
        derived_seed(settings.seed, "initializer"),
        settings.concept,
    )
    result = train_cycle(
        model,
        images,
        _captions(settings, ImageSet(ids, images)),
        start,
        settings.train,
        settings.schedule,
        None,
        derived_seed(settings.seed, "train", 0),
        FolderCheckpointStore(checkpoint) if checkpoint else None,
        token=settings.token,
        latent_store=FolderLatentStore(Path(checkpoint) / "latents") if checkpoint else None,
    )
    if Processes().is_main:
        with_settings(result.embedding, settings.generation).save(output)
        click.echo(
            f"{output}: {result.steps} steps, {result.image_steps} image-steps. "
            f"{result.stop_reason}"
        )


def _captions(settings: RunSettings, images: ImageSet) -> list[str] | None:
    """One an image, where the run file asks for them; None: there is none."""
    from coti.loop.load_models import load_scorer, loader, located_captioner
    from coti.loop.missing_captions import load_captioner, with_missing

    if settings.captions == "pool" or settings.train.captions == "templates":
        return None
    locate = project().locate
    own = located_captioner(settings.captioner, locate)
    scorer = load_scorer(settings.scorer, loader(locate))
    captioner = load_captioner(replace(settings, captioner=own), scorer)
    found = with_missing({}, images.names, images, captioner, own.template)
    return [found.get(name, "") for name in images.names]
