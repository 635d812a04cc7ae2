"""``coti edit``: change a part of an image, with learned embeddings."""

from __future__ import annotations

from pathlib import Path

import click

from coti.commands.generation_options import (
    GenerationOptions,
    embedding_options,
    generation_options,
)
from coti.commands.project import project

__all__ = ["edit"]


@click.command()
@click.option("--image", required=True, type=click.Path(path_type=Path), help="The image.")
@click.option(
    "--mask", required=True, type=click.Path(path_type=Path), help="White is edited, black kept."
)
@click.option("--prompt", default="a photo of a {}", help="What is to be there.")
@embedding_options
@click.option("--num-images", type=click.IntRange(1, 10_000), default=4)
@click.option(
    "--keep-pixels",
    is_flag=True,
    help="Put the image's own pixels back outside the mask; a seam may show.",
)
@generation_options
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.")
def edit(
    image: Path,
    mask: Path,
    prompt: str,
    concepts: tuple[str, ...],
    embeddings: tuple[str, ...],
    num_images: int,
    keep_pixels: bool,
    how: GenerationOptions,
    output: Path | None,
) -> None:
    """Generate a prompt inside a mask and keep the rest (Blended Latent Diffusion).

    Works with any Stable Diffusion model. Says how far the kept part is from the image, and
    how far the autoencoder alone would be.

    \b
    Example:
      coti edit --image shoe.png --mask mask.png --embedding boot.safetensors
    """
    project().quiet_terminal()
    import torch

    from coti.commands.embedding_sources import find_embeddings, load_base_model
    from coti.commands.generate import new_folder
    from coti.core.whole_files import require_writable, tensor_hash
    from coti.generation.editing import edit_image, read_image_and_mask
    from coti.generation.png_metadata import metadata_of
    from coti.generation.prompted import GeneratedImages, save_generated, save_sheet
    from coti.generation.prompts import fill_prompts
    from coti.pool.chosen_images import image_reader

    sources = find_embeddings(concepts, embeddings)
    own = [source.embedding for source in sources]
    network = load_base_model(how, sources)
    settings = how.settings_for(own, network.widths)
    with image_reader() as read:
        pixels, chosen = read_image_and_mask(image, mask, network, read)
    folder = output or new_folder("edited")
    require_writable(folder)
    edited = edit_image(
        network,
        pixels,
        chosen,
        prompt,
        own,
        settings,
        how.seed,
        num_images=num_images,
        negative_prompt=how.negative_prompt,
        keep_pixels=keep_pixels,
    )
    text = fill_prompts([prompt], own)[0]
    size = (pixels.shape[1], pixels.shape[2])
    extra = {
        "edited": tensor_hash(pixels),
        "mask": tensor_hash(chosen),
        "keep_pixels": str(keep_pixels).lower(),
    }
    metadata = [
        metadata_of(network, text, own, settings, how.seed, i, how.negative_prompt, size, **extra)
        for i in range(num_images)
    ]
    save_generated({"": GeneratedImages(edited.images, tuple(metadata))}, folder, num_images)
    shown = (chosen[None].expand(3, -1, -1) * 255).to(torch.uint8)
    captions = ["image", "mask", *(f"edit {i}" for i in range(num_images))]
    together = torch.cat([pixels[None], shown[None], edited.images])
    save_sheet(together, captions, folder, num_images + 2)
    click.echo(
        f"{num_images} images in {folder}; outside the mask they are {edited.outside_error:.2f} "
        f"levels of 255 from the image (the autoencoder alone: {edited.autoencoder_error:.2f})"
    )
