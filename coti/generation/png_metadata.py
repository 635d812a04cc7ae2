"""How an image was generated, all that is needed to generate it again, in the PNG's metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin

from coti import __version__
from coti.core.errors import PoolError
from coti.core.images import to_pil
from coti.core.tokens import holds_token
from coti.core.whole_files import tensor_hash, write_whole
from coti.generation.own_settings import sampling_settings
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

__all__ = [
    "EmbeddingRecord",
    "GenerationMetadata",
    "embedding_hash",
    "metadata_of",
    "read_metadata",
    "save_image",
]

_KEY = "coti"
_WEB_UI_KEY = "parameters"


@dataclass(frozen=True)
class EmbeddingRecord:
    """Which embedding an image was generated with."""

    token: str
    hash: str
    """Of its vectors, 12 hexadecimal digits."""
    num_vectors: int
    metadata: dict[str, str]
    """Of its file: concept, base model, step."""


@dataclass(frozen=True)
class GenerationMetadata:
    """How one image was generated; the same again gives the same image."""

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
    embeddings: tuple[EmbeddingRecord, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    """What a special use adds: the edited image's hash, the mask's."""
    guidance_interval: tuple[float, float] | None = None
    """Noise levels σ between which ``guidance_scale`` holds; None: everywhere."""
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


def embedding_hash(embedding: Embedding) -> str:
    """Twelve hexadecimal digits that change with any bit of an embedding."""
    return tensor_hash(*embedding.parts)


def metadata_of(
    model: TextToImageModel,
    prompt: str,
    embeddings: Sequence[Embedding],
    settings: GenerationSettings,
    seed: int,
    index: int,
    negative_prompt: str,
    size: tuple[int, int],
    **extra: str,
) -> GenerationMetadata:
    """The metadata of an image; of the embeddings those whose tokens its prompts use."""
    used = tuple(
        EmbeddingRecord(each.token, embedding_hash(each), each.num_vectors, dict(each.metadata))
        for each in embeddings
        if any(holds_token(text, each.token) for text in (prompt, negative_prompt))
    )
    return GenerationMetadata(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        index=index,
        height=size[0],
        width=size[1],
        **sampling_settings(settings),
        model=model.name,
        model_hash=model.fingerprint,
        dtype=str(model.dtype).removeprefix("torch."),
        embeddings=used,
        extra=extra,
    )


def save_image(image: torch.Tensor, metadata: GenerationMetadata, path: Path) -> Path:
    """Write a PNG, uint8 ``[3, h, w]``, with its metadata; whole or not at all.

    The text chunk ``coti`` holds the metadata as JSON, ``parameters`` the line that web UIs read.
    """
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(_KEY, json.dumps(asdict(metadata), ensure_ascii=False))
    notes.add_itxt(_WEB_UI_KEY, metadata.for_web_uis())
    buffer = io.BytesIO()
    to_pil(image[None])[0].save(buffer, "PNG", pnginfo=notes, optimize=True)
    write_whole(path, buffer.getvalue())
    return path


def read_metadata(path: Path | str) -> GenerationMetadata:
    """The metadata of a PNG that :func:`save_image` wrote.

    Raises:
        PoolError: no PNG, or one without this metadata.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = getattr(image, "text", {}).get(_KEY)
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise PoolError(f"{path} cannot be read as a PNG: {error}.") from error
    if text is None:
        raise PoolError(f"{path} does not say how COTI generated it; images of `coti generate` do.")
    try:
        values = json.loads(text)
        used = tuple(EmbeddingRecord(**each) for each in values.pop("embeddings"))
        if (interval := values.pop("guidance_interval", None)) is not None:
            low, high = map(float, interval)
            interval = (low, high)
        return GenerationMetadata(**values, embeddings=used, guidance_interval=interval)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PoolError(
            f"{path} says how it was generated in a way that `coti generate` does not: another "
            "program wrote or changed it."
        ) from error
