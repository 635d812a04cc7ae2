"""MobileNetV2's feature layers (Sandler et al. 2018) with the names of the published aesthetics
networks' weights, which expand in the first block, too, unlike torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from coti.core.errors import ModelError

__all__ = ["CHANNELS", "imagenet_pixels", "load_part", "mobilenet_features"]

CHANNELS = 1280
"""Width of the last feature map, of MobileNetV2 as of EfficientNet-Lite0."""
IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
           (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
"""Expansion, channels, repeats, stride."""


class _InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes are the same."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.adds = stride == 1 and channels == out
        self.conv = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(x)
        return x + found if self.adds else found


def mobilenet_features() -> nn.Sequential:
    """Up to the last feature map, without weights: [n, 3, h, w] to [n, 1280, h/32, w/32]."""
    from torchvision.ops.misc import Conv2dNormActivation

    layers: list[nn.Module] = [Conv2dNormActivation(3, 32, 3, 2)]
    channels = 32
    for expansion, out, repeats, first_stride in _BLOCKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            layers.append(_InvertedResidual(channels, out, stride, expansion))
            channels = out
    layers.append(Conv2dNormActivation(channels, CHANNELS, 1))
    return nn.Sequential(*layers).eval().requires_grad_(False)


def load_part(
    model: nn.Module, saved: Mapping[str, torch.Tensor], prefix: str, path: str | Path
) -> None:
    """Load the tensors whose names begin with ``prefix``; counters of batches may be missing.

    Raises:
        ModelError: names or shapes that don't fit; names the file and the part.
    """
    part = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
    own = model.state_dict()
    counters = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
    try:
        model.load_state_dict({**counters, **part})
    except RuntimeError as error:
        raise ModelError(
            f"{path}: its tensors {prefix or 'all'}* don't fit this network: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


def imagenet_pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 [n, 3, h, w] to float32 [n, 3, 224, 224] with ImageNet's mean and deviation."""
    resized = functional.interpolate(images.float(), (224, 224), mode="bilinear", antialias=True)
    return (resized / 255 - IMAGENET_MEAN) / IMAGENET_STD
