"""Images from prompts with embeddings, each with its metadata: what ``coti generate`` calls."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from coti.core.contact_sheet import contact_sheet
from coti.core.whole_files import whole_file
from coti.generation.png_metadata import GenerationMetadata, metadata_of, save_image
from coti.generation.prompts import check_tokens, fill_prompts, plain_prompt
from coti.generation.sampler import fixed_noise, generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

__all__ = [
    "GeneratedImages",
    "compare_embeddings",
    "generate_prompts",
    "save_generated",
    "save_sheet",
]

_CAPTION = 15
"""Characters of a prompt in a line below an image of the contact sheet."""


@dataclass(frozen=True)
class GeneratedImages:
    """Images and how each was generated."""

    images: torch.Tensor
    """uint8 [n, 3, height, width]."""
    metadata: tuple[GenerationMetadata, ...]


def generate_prompts(
    model: TextToImageModel,
    prompts: Sequence[str],  # may hold tokens; {} stands for the first embedding's
    embeddings: Sequence[Embedding],
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    num_images: int = 1,  # of each prompt
    negative_prompt: str = "",
    size: tuple[int, int] | None = None,  # height, width in pixels
    progress: str = "generating",
) -> GeneratedImages:
    """Generate ``num_images`` images of every prompt, prompt by prompt.

    Image i of every prompt starts from the noise of (seed, i): prompts can be compared, and a
    prompt's images stay the same whatever other prompts stand beside it.

    Raises:
        EmbeddingError: a prompt's token that no embedding defines, an embedding of another width,
            two of one token.
        ConfigError: no or an empty prompt, or what
            :func:`coti.generation.sampler.generate` refuses.
    """
    settings = settings or GenerationSettings()
    filled = fill_prompts(prompts, embeddings)
    check_tokens(model, [*filled, negative_prompt], embeddings)
    texts = [prompt for prompt in filled for _ in range(num_images)]
    indices = [i for _ in filled for i in range(num_images)]
    noise = fixed_noise(model, range(num_images), seed, size)
    images = generate(
        model,
        texts,
        embeddings,
        settings,
        seed,
        noise.repeat(len(filled), 1, 1, 1),
        negative_prompt=negative_prompt,
        indices=indices,
        size=size,
        progress=progress,
    )
    found = (images.shape[2], images.shape[3])
    metadata = tuple(
        metadata_of(model, text, embeddings, settings, seed, index, negative_prompt, found)
        for text, index in zip(texts, indices, strict=True)
    )
    return GeneratedImages(images, metadata)


def compare_embeddings(
    model: TextToImageModel,
    prompts: Sequence[str],
    variants: Mapping[str, Sequence[Embedding]],  # label to embeddings; none: the prompt without
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    num_images: int = 4,
    negative_prompt: str = "",
    size: tuple[int, int] | None = None,
    plain_word: str | None = None,  # stands for the token where there is no embedding
) -> dict[str, GeneratedImages]:
    """The same noise and prompts with every variant of the embeddings.

    A variant without embeddings has ``plain_word`` in the token's place, or the concept's name from
    the embedding's file, or nothing.
    """
    reference = next((given for given in variants.values() if given), ())
    generated = {}
    for label, embeddings in variants.items():
        texts = list(prompts)
        if not embeddings and reference:
            filled = fill_prompts(prompts, reference)
            texts = [plain_prompt(text, reference, plain_word) for text in filled]
        generated[label] = generate_prompts(
            model,
            texts,
            embeddings,
            settings,
            seed,
            num_images=num_images,
            negative_prompt=negative_prompt,
            size=size,
            progress=f"generating {label}".strip(),
        )
    return generated


def save_generated(
    generated: Mapping[str, GeneratedImages],  # by label, which goes before the images' numbers
    folder: Path,  # made where there is none
    columns: int,  # of the sheet
) -> list[Path]:
    """Write every image as a PNG with its metadata, and ``contact_sheet.png`` beside them.

    Returns:
        The images' paths; the sheet's is the last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, images, captions = [], [], []
    for label, found in generated.items():
        before = f"{_file_safe(label)}-" if label else ""
        for number, (image, metadata) in enumerate(zip(found.images, found.metadata, strict=True)):
            paths.append(save_image(image, metadata, folder / f"{before}{number:04d}.png"))
            images.append(image)
            lines = textwrap.wrap(metadata.prompt, _CAPTION)[:4]
            captions.append("\n".join([label, *lines] if label else lines))
    return [*paths, save_sheet(torch.stack(images), captions, folder, columns)]


def save_sheet(images: torch.Tensor, captions: Sequence[str], folder: Path, columns: int) -> Path:
    """``contact_sheet.png``: small images enlarged by a whole factor, large ones reduced."""
    side = max(images.shape[2:])
    cell = side * max(1, 128 // side) if side < 256 else 256
    path = folder / "contact_sheet.png"
    sheet = contact_sheet(images, columns=columns, captions=captions, cell=cell)
    with whole_file(path) as part:
        sheet.save(part, "PNG", optimize=True)
    return path


def _file_safe(label: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in label).strip("-.")
