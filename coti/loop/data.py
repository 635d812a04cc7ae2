"""What a run works with: the frozen models, and a concept's images and features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder
from coti.inversion.base_model import TextToImageModel
from coti.loop.inputs import Encoders, Images, Reviewed

__all__ = ["ConceptData", "Models"]


@dataclass(frozen=True)
class Models:
    """Everything frozen that a run works with."""

    base: TextToImageModel
    encoders: Encoders
    judge: ImageTextEncoder | None = None
    """None: nothing is judged."""
    inception: ImageEncoder | None = None
    """For FID."""
    ssl_judge: ImageEncoder | None = None
    """Class-blind; None: neither fidelity nor variety is measured apart."""
    reference_judge: Callable[[], EfficientNetLite0] | None = None
    """Loads it where it is needed."""


@dataclass(frozen=True)
class ConceptData:
    """A concept's images and what is known of them before a run starts."""

    seeds: ImageSet
    pool: Images
    """The accepted images."""
    features: TensorBundle
    """Of :func:`coti.scores.features_to_scores.embed_images`."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """Id to caption."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Id to file name, of pool and seeds."""
    references: TensorBundle | None = None
    """Of :func:`coti.metrics.judge.embed_references`."""
    reference_judge: torch.Tensor | None = None
    """float32 [n, 320], the references' features on the reference judge."""
    ground_truth: Mapping[str, bool] | None = None
    """File name to whether an image is clean. Read by ``selection_precision`` and ``oracle``."""
    reviewed: Reviewed | None = None
    """What people decided, where they did; captions are in place, dropped seeds are left out."""
