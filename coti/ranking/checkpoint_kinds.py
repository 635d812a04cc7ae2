"""What can be ranked: an embedding's file, a LoRA's, or a folder of any tool's samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from coti.core.errors import ConfigError
from coti.core.fitting import Fit
from coti.generation.prompts import check_tokens
from coti.generation.sampler import fixed_noise, generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.adapters.lora_file import LoRA, is_lora
from coti.inversion.base_model import TextToImageModel
from coti.pool.chosen_images import read_chosen_images
from coti.settings import GenerationSettings

__all__ = [
    "Checkpoint",
    "generate_with",
    "lora_checkpoint",
    "told_apart",
    "with_samples",
    "without",
]

Kind = Literal["embedding", "LoRA", "samples"]


@dataclass(frozen=True)
class Checkpoint:
    """One of those that are compared."""

    label: str
    kind: Kind
    path: Path
    adapter: Embedding | LoRA | None = None
    """None: its images are there already."""
    word: str = ""
    """What stands for the concept in its prompts."""
    samples: torch.Tensor | None = None
    """uint8 [n, 3, h, w], of a folder."""

    @property
    def generates(self) -> bool:
        """Whether images can be made of it here, from the same noise as of the others."""
        return self.adapter is not None


def lora_checkpoint(path: Path, trigger: str | None) -> Checkpoint | None:
    """The checkpoint of a LoRA's file; None where the file is none.

    Raises:
        ConfigError: no trigger word is given.
        EmbeddingError: it cannot be used.
    """
    if not path.is_file() or not is_lora(path):
        return None
    if not trigger:
        raise ConfigError(
            f"{path} is a LoRA, whose file does not say its word: give --trigger WORD, what stands "
            "for the concept in the captions that it was trained on."
        )
    return Checkpoint(path.stem, "LoRA", path, LoRA.load(path), trigger)


def told_apart(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The same with a different label each: those of one name by their folders, else numbers."""
    named = [each.label for each in checkpoints]
    longer = [
        replace(each, label=f"{each.path.parent.name}/{each.label}")
        if named.count(each.label) > 1 and each.path.parent.name
        else each
        for each in checkpoints
    ]
    found: list[Checkpoint] = []
    for each in longer:
        used, label, number = {known.label for known in found}, each.label, 2
        while label in used:
            label, number = f"{each.label} ({number})", number + 1
        found.append(replace(each, label=label))
    return found


def generate_with(
    model: TextToImageModel,
    checkpoint: Checkpoint,
    prompts: Sequence[str],  # {} stands for its word
    count: int,  # images of each
    settings: GenerationSettings,
    seed: int,
    negative_prompt: str = "",
) -> torch.Tensor:
    """Images of a checkpoint, prompt by prompt; image i of each starts from the noise of (seed, i).

    Returns:
        uint8 [prompts · count, 3, h, w].

    Raises:
        EmbeddingError: it does not fit the model.
        ConfigError: as :func:`coti.generation.sampler.generate`.
    """
    adapters: list[Embedding | LoRA] = []
    if checkpoint.adapter is not None:
        adapters.append(checkpoint.adapter)
    filled = [prompt.replace("{}", checkpoint.word) for prompt in prompts]
    check_tokens(model, filled, [each for each in adapters if isinstance(each, Embedding)])
    noise = fixed_noise(model, range(count), seed)
    return generate(
        model,
        [prompt for prompt in filled for _ in range(count)],
        adapters,
        settings,
        seed,
        noise.repeat(len(filled), 1, 1, 1),
        negative_prompt=negative_prompt,
        indices=[number for _ in filled for number in range(count)],
        progress=f"generating {checkpoint.label}",
    )


def without(path: Path = Path()) -> Checkpoint:
    """The base model alone, which drift is measured against."""
    return Checkpoint("the base model", "samples", path)


def with_samples(checkpoint: Checkpoint, side: int, fit: Fit) -> Checkpoint:
    """The same with its folder's images read, ``side`` pixels a side; as it is where it generates.

    Raises:
        PoolError: there are none, or one cannot be used.
    """
    if checkpoint.generates:
        return checkpoint
    return replace(checkpoint, samples=read_chosen_images(checkpoint.path, side, fit)[2])
