"""ReLIC: aesthetics from an image and the relations of its parts (Zhao et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.scores.baselines.degraded_ratings import RatedImages, fit_head
from coti.scores.baselines.mobilenet import CHANNELS, imagenet_pixels, load_part, mobilenet_features

__all__ = ["ReLIC", "RelationHead", "fitted_relic", "published_relic"]

GRADES = torch.arange(1.0, 11.0)
"""The ten grades whose distribution is predicted."""
_CHUNK = 64


def cosine_relations(maps: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of every place of a feature map to every other: [n, (h·w)²]."""
    places = functional.normalize(maps.flatten(2), dim=1, eps=1e-4)
    return (places.transpose(1, 2) @ places).flatten(1)


class RelationHead(nn.Module):
    """From two feature maps to a distribution over ten grades."""

    def __init__(self, places: int) -> None:
        """``places``: h·w of the map whose relations are taken; 49 as published."""
        super().__init__()
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(0.75), nn.Linear(CHANNELS + places**2, 10), nn.Softmax(dim=1)
        )

    def forward(self, looks: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
        """Maps [n, 1280, h, w] of the two trunks to mean grades [n], 1 to 10."""
        joined = torch.cat([looks.mean(dim=(2, 3)), cosine_relations(parts)], dim=1)
        grades: torch.Tensor = self.head(joined) @ GRADES
        return grades


class ReLIC:
    """Trunks and head."""

    def __init__(
        self,
        maps: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
        head: RelationHead,
    ) -> None:
        """``maps``: uint8 images to the two trunks' feature maps."""
        self._maps, self._head = maps, head.eval()

    @torch.inference_mode()
    def score(self, pool: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Mean grade of uint8 [n, 3, h, w]: float32 [n]; the seeds are not looked at."""
        return torch.cat([self._head(*self._maps(part)) for part in torch.split(pool, _CHUNK)])


def fitted_relic(trunk: EfficientNetLite0, rated: RatedImages, steps: int, seed: int) -> ReLIC:
    """The head on a frozen EfficientNet-Lite0 in both trunks' place, fitted to the ratings."""
    found = trunk.maps(rated.images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        head = RelationHead(found.shape[2] * found.shape[3])
    fit_head(head, lambda rows: head(found[rows], found[rows]), rated.ratings, steps, seed)

    def maps(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        one = trunk.maps(images)
        return one, one

    return ReLIC(maps, head)


def published_relic(path: str | Path) -> ReLIC:
    """The published network: two MobileNetV2 trunks and a head.

    Names: ``base_model.base_model.0.*`` (looks), ``base_model.sa_model.0.*`` (parts), ``head.*``.

    Raises:
        ModelError: no such safetensors file, or other tensors in it.
    """
    saved = TensorBundle.load(Path(path)).tensors
    looks, parts, head = mobilenet_features(), mobilenet_features(), RelationHead(49)
    load_part(looks, saved, "base_model.base_model.0.", path)
    load_part(parts, saved, "base_model.sa_model.0.", path)
    load_part(head.head, saved, "head.", path)

    def maps(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = imagenet_pixels(images)
        return looks(pixels), parts(pixels)

    return ReLIC(maps, head)
