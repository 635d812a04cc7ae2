"""LPIPS: perceptual distance to the seeds (Zhang et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from coti.core.determinism import deterministic
from coti.core.errors import ModelError
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.scores.baselines.degraded_ratings import RatedImages

__all__ = ["PerceptualDistance", "fitted_lpips", "published_lpips"]

Stages = Callable[[torch.Tensor], list[torch.Tensor]]
"""uint8 [n, 3, h, w] to feature maps [n, c, h, w], one a stage."""

_ALEXNET_STAGES = ((0, 2), (2, 5), (5, 8), (8, 10), (10, 12))
_CHUNK = 64


class PerceptualDistance:
    """Weighted squared differences of channel-normalised feature maps (their Eq. 1).

    With the weights' roots and the maps' sizes folded in, the distance is a squared Euclidean one:
    ``d(x, y) = |e(x) − e(y)|²``.
    """

    def __init__(self, stages: Stages, weights: list[torch.Tensor]) -> None:
        """Take a trunk's stages and a weight, 0 or more, for each channel of each stage."""
        self._stages, self.weights = stages, weights

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w] to float32 [n, d]."""
        parts = []
        for maps, weight in zip(self._stages(images), self.weights, strict=True):
            scale = (weight / (maps.shape[2] * maps.shape[3])).sqrt()
            parts.append((functional.normalize(maps, dim=1) * scale[:, None, None]).flatten(1))
        return torch.cat(parts, dim=1)

    def distances(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """LPIPS of n images to m others: float32 [n, m], 0 or more."""
        reference = self.embed(others)
        parts = [
            torch.cdist(self.embed(part), reference).square()
            for part in torch.split(images, _CHUNK)
        ]
        return torch.cat(parts)

    def score(self, pool: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Minus the mean distance to the seeds: float32 [n]."""
        return -self.distances(pool, seeds).mean(dim=1)


@deterministic()
def fitted_lpips(
    trunk: EfficientNetLite0, rated: RatedImages, steps: int, seed: int
) -> PerceptualDistance:
    """The architecture on EfficientNet-Lite0, its channel weights fitted to graded degradations.

    Theirs are fitted to people's choices between two distortions; ours so that a degradation's
    distance to its original is its severity.
    """
    differences = [
        (functional.normalize(a, dim=1) - functional.normalize(b, dim=1)).square().mean(dim=(2, 3))
        for a, b in zip(trunk.stages(rated.images), trunk.stages(rated.originals), strict=True)
    ]
    widths = [part.shape[1] for part in differences]
    table = torch.cat(differences, dim=1)
    target = (10.0 - rated.ratings) / 9.0
    scale = 1.0 / table.sum(dim=1).mean().clamp(min=1e-8)
    raw = torch.full((table.shape[1],), 0.5413, requires_grad=True)  # softplus of it is 1
    optimizer = torch.optim.Adam([raw], lr=1e-2)
    for _ in range(steps):
        predicted = scale * (table @ functional.softplus(raw))
        loss = (predicted - target).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    weights = scale * functional.softplus(raw.detach())
    return PerceptualDistance(trunk.stages, list(torch.split(weights, widths)))


def published_lpips(path: str | Path) -> PerceptualDistance:
    """LPIPS with AlexNet: torchvision's ``features.*`` and the package's ``lin0`` to ``lin4``.

    Raises:
        ModelError: no such safetensors file, or other tensors in it.
    """
    from torchvision.models import alexnet

    saved = TensorBundle.load(Path(path)).tensors
    network = alexnet(weights=None).features
    trunk = {k.removeprefix("features."): v for k, v in saved.items() if k.startswith("features.")}
    try:
        network.load_state_dict(trunk)
        weights = [saved[f"lin{i}.model.1.weight"].flatten() for i in range(5)]
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path}: not LPIPS' AlexNet (features.* and lin0 to lin4): {error}"
        ) from error
    network = network.eval().requires_grad_(False)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]

    @torch.inference_mode()
    def stages(images: torch.Tensor) -> list[torch.Tensor]:
        found = functional.interpolate(
            images.float(), (64, 64), mode="bicubic", antialias=True
        ).clamp(0, 255)
        found = (found / 127.5 - 1 - shift) / scale
        maps = []
        for first, last in _ALEXNET_STAGES:
            found = network[first:last](found)
            maps.append(found)
        return maps

    return PerceptualDistance(stages, weights)
