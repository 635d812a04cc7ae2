"""Images with learned words, each with its recipe: what ``coti generate`` calls."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from coti.core.contact_sheet import contact_sheet
from coti.generation.png_metadata import Recipe, recipe_of, save_image
from coti.generation.prompts import check_tokens, fill_prompts, plain_prompt
from coti.generation.sampler import fixed_noise, generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

__all__ = ["Drawing", "compare_words", "draw_prompts", "save_drawing"]

_CAPTION = 15
"""Characters of a prompt in a line below an image of the contact sheet."""


@dataclass(frozen=True)
class Drawing:
    """Images and how each was drawn."""

    images: torch.Tensor
    """uint8 [n, 3, height, width]."""
    recipes: tuple[Recipe, ...]

    @property
    def prompts(self) -> list[str]:
        """The images' prompts, n."""
        return [recipe.prompt for recipe in self.recipes]


def draw_prompts(
    model: TextToImageModel,
    prompts: Sequence[str],  # may hold tokens; {} stands for the first word's
    embeddings: Sequence[Embedding],
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    num_images: int = 1,  # of each prompt
    negative_prompt: str = "",
    size: tuple[int, int] | None = None,  # height, width in pixels
    progress: str = "drawing",
) -> Drawing:
    """Draw ``num_images`` images of every prompt, prompt by prompt.

    Image i of every prompt starts from the noise of (seed, i): prompts can be compared, and a
    prompt's images stay the same whatever other prompts are drawn beside it.

    Raises:
        EmbeddingError: a prompt's token that no word defines, a word of another width, two words
            of one token.
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
    drawn = (images.shape[2], images.shape[3])
    words = list(embeddings)
    recipes = tuple(
        recipe_of(model, text, words, settings, seed, index, negative_prompt, drawn)
        for text, index in zip(texts, indices, strict=True)
    )
    return Drawing(images, recipes)


def compare_words(
    model: TextToImageModel,
    prompts: Sequence[str],
    variants: Mapping[str, Sequence[Embedding]],  # label to words; none: the prompt without words
    settings: GenerationSettings | None = None,
    seed: int = 0,
    *,
    num_images: int = 4,
    negative_prompt: str = "",
    size: tuple[int, int] | None = None,
    plain_word: str | None = None,  # stands for the word where there is none
) -> dict[str, Drawing]:
    """The same noise and prompts with every variant of the words.

    A variant without words draws each prompt with ``plain_word`` in the word's place, or the
    concept's name from the embedding's file, or nothing.
    """
    reference = next((words for words in variants.values() if words), ())
    drawings = {}
    for label, words in variants.items():
        texts = list(prompts)
        if not words:
            filled = fill_prompts(prompts, reference)
            texts = [plain_prompt(text, reference, plain_word) for text in filled]
        drawings[label] = draw_prompts(
            model,
            texts,
            words,
            settings,
            seed,
            num_images=num_images,
            negative_prompt=negative_prompt,
            size=size,
            progress=f"drawing {label}",
        )
    return drawings


def save_drawing(
    drawings: Mapping[str, Drawing], folder: Path, columns: int, title: str | None = None
) -> list[Path]:
    """Write every image as a PNG with its recipe, and ``contact_sheet.png`` beside them.

    Args:
        drawings: label to images; a label goes before the images' numbers, "" adds none.
        folder: made where there is none.
        columns: of the sheet.
        title: of the sheet.

    Returns:
        The images' paths; the sheet's is the last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, images, captions = [], [], []
    for label, drawing in drawings.items():
        before = f"{_file_safe(label)}-" if label else ""
        for number, (image, recipe) in enumerate(zip(drawing.images, drawing.recipes, strict=True)):
            paths.append(save_image(image, recipe, folder / f"{before}{number:04d}.png"))
            images.append(image)
            lines = textwrap.wrap(recipe.prompt, _CAPTION)[:4]
            captions.append("\n".join([label, *lines] if label else lines))
    sheet = contact_sheet(
        torch.stack(images), columns=columns, captions=captions, cell=_cell(images), title=title
    )
    sheet.save(folder / "contact_sheet.png", optimize=True)
    return [*paths, folder / "contact_sheet.png"]


def _file_safe(label: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in label).strip("-.")


def _cell(images: Sequence[torch.Tensor]) -> int:
    """Side of a sheet's cell: small images enlarged by a whole factor, large ones reduced."""
    side = max(images[0].shape[1:])
    return int(side * max(1, 128 // side)) if side < 256 else 256
