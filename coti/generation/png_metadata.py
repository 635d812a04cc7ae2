"""An image's recipe: all that is needed to draw it again, in the PNG's own metadata."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin

from coti import __version__
from coti.core.errors import PoolError
from coti.core.images import to_pil
from coti.core.whole_files import write_whole
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import tensor_hash
from coti.settings import GenerationSettings

__all__ = ["Recipe", "WordRecord", "read_recipe", "recipe_of", "save_image", "word_hash"]

_KEY = "coti"
_WEB_UI_KEY = "parameters"


@dataclass(frozen=True)
class WordRecord:
    """Which learned word an image was drawn with."""

    token: str
    hash: str
    """Of its vectors, 12 hexadecimal digits."""
    num_vectors: int
    metadata: dict[str, str]
    """Of its file: concept, base model, step."""


@dataclass(frozen=True)
class Recipe:
    """How one image was drawn; the same recipe gives the same image."""

    prompt: str
    negative_prompt: str
    seed: int
    index: int
    """Number of the image under its seed: together they give its noise."""
    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    use_karras_sigmas: bool
    model: str
    model_hash: str
    """sha256 of the base model's weights and settings."""
    dtype: str
    words: tuple[WordRecord, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    """What a special use adds: the edited image's hash, the mask's."""
    coti_version: str = __version__

    def for_web_uis(self) -> str:
        """The line of settings that AUTOMATIC1111 and the tools after it show of a PNG."""
        lines = [self.prompt]
        if self.negative_prompt:
            lines.append(f"Negative prompt: {self.negative_prompt}")
        lines.append(
            f"Steps: {self.num_inference_steps}, Sampler: {self.scheduler}, "
            f"Schedule type: {'Karras' if self.use_karras_sigmas else 'Automatic'}, CFG scale: "
            f"{self.guidance_scale}, Seed: {self.seed}, Size: {self.width}x{self.height}, "
            f"Model hash: {self.model_hash[:10]}, Model: {self.model}"
        )
        return "\n".join(lines)


def word_hash(embedding: Embedding) -> str:
    """Twelve hexadecimal digits that change with any bit of a word's vectors."""
    return tensor_hash(*embedding.parts)


def recipe_of(
    model: TextToImageModel,
    prompt: str,
    embeddings: list[Embedding],
    settings: GenerationSettings,
    seed: int,
    index: int,
    negative_prompt: str,
    size: tuple[int, int],
    **extra: str,
) -> Recipe:
    """The recipe of an image; of the words those that its prompt uses."""
    words = tuple(
        WordRecord(word.token, word_hash(word), word.num_vectors, dict(word.metadata))
        for word in embeddings
        if word.token in prompt or word.token in negative_prompt
    )
    return Recipe(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        index=index,
        height=size[0],
        width=size[1],
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        scheduler=settings.scheduler,
        use_karras_sigmas=settings.use_karras_sigmas,
        model=model.name,
        model_hash=model.fingerprint,
        dtype=str(model.dtype).removeprefix("torch."),
        words=words,
        extra=extra,
    )


def save_image(image: torch.Tensor, recipe: Recipe, path: Path) -> Path:
    """Write a PNG, uint8 ``[3, h, w]``, with its recipe; whole or not at all.

    The text chunk ``coti`` holds the recipe as JSON, ``parameters`` the line that web UIs read.
    """
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(_KEY, json.dumps(asdict(recipe), ensure_ascii=False))
    notes.add_itxt(_WEB_UI_KEY, recipe.for_web_uis())
    buffer = io.BytesIO()
    to_pil(image[None])[0].save(buffer, "PNG", pnginfo=notes, optimize=True)
    write_whole(path, buffer.getvalue())
    return path


def read_recipe(path: Path | str) -> Recipe:
    """The recipe of a PNG that :func:`save_image` wrote.

    Raises:
        PoolError: no PNG, or one without a recipe.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = getattr(image, "text", {}).get(_KEY)
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise PoolError(f"{path} cannot be read as a PNG: {error}.") from error
    if text is None:
        raise PoolError(f"{path} holds no recipe of COTI's; `coti generate` writes one.")
    values = json.loads(text)
    words = tuple(WordRecord(**word) for word in values.pop("words"))
    return Recipe(**values, words=words)
