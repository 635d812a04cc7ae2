"""What goes into a cell of an experiment, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel

__all__ = ["CellData", "CellModels", "CellResult"]


@dataclass(frozen=True)
class CellModels:
    """Everything frozen that a cell works with."""

    network: TextToImageModel
    scorer: ImageTextEncoder
    judge: ImageTextEncoder
    concept_encoder: ImageEncoder | None = None
    """ℰ of Eq. 8 where it isn't the scorer."""
    second: EfficientNetLite0 | None = None


@dataclass(frozen=True)
class CellData:
    """A concept's images and what is known of them before a cell starts."""

    concept: str
    seeds: ImageSet
    pool: ImageSet
    """The accepted images."""
    captions: Sequence[str]
    sources: Sequence[str]
    """File names of the accepted images."""
    features: TensorBundle
    """Of :func:`coti.scores.scoring.embed_images`."""
    references: TensorBundle
    """Of :func:`coti.metrics.judge.embed_references`."""
    reference_judge_features: torch.Tensor | None = None
    """float32 [n, 320], the references' features of the reference judge."""
    right: Mapping[str, bool] | None = None
    """For the oracle, and to measure selection precision. Nothing else reads it."""


@dataclass
class CellResult:
    """What a cell leaves."""

    row: dict[str, Any]
    """The cell's metrics; None where one is not defined."""
    cycles: list[dict[str, Any]]
    """A row a cycle, fields of :class:`~coti.loop.controller.CycleRecord` and ``image_steps``."""
    embedding: Embedding | None
    """The kept word; None without TI."""
    samples: ImageSet
    """Images on fixed noise, ``sample_images`` a cycle, named ``c<cycle>-<number>``; the kept
    word's under ``final-<number>``."""
    picked: list[str]
    """File names of the pool's images in X_T at the end."""
