"""TANet: aesthetics by theme, with colours' distribution (He et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.scores.baselines.degraded_ratings import RatedImages, fit_head
from coti.scores.baselines.mobilenet import CHANNELS, imagenet_pixels, load_part, mobilenet_features
from coti.scores.baselines.relic import GRADES, cosine_relations

__all__ = ["TANet", "ThemeHeads", "fitted_tanet", "published_tanet"]

_CHUNK = 64
_RGB = 12


@dataclass(frozen=True)
class Inputs:
    """What the heads see of n images."""

    pooled: torch.Tensor
    """[n, 1280], the trunk's last feature map, averaged."""
    themes: torch.Tensor
    """[n, t], logits of a classifier of scenes or things."""
    colours: torch.Tensor
    """[n, 3, 12, 12], the images, averaged."""

    def rows(self, rows: torch.Tensor) -> Inputs:
        """Some of the images."""
        return Inputs(self.pooled[rows], self.themes[rows], self.colours[rows])


class ThemeHeads(nn.Module):
    """The three branches and the head that joins them; names as in the published weights.

    The released code multiplies all images of a batch with all images' theme weights, so that
    a score depends on the batch; here each image has its own, as the paper describes it.
    """

    def __init__(self, themes: int = 365) -> None:
        """``themes``: classes of the theme classifier; 365 (Places) as published."""
        super().__init__()
        self.hypernet = nn.ModuleDict(
            {"last_out_w": nn.Linear(themes, 100), "last_out_b": nn.Linear(themes, 1)}
        )
        self.tygertnet = nn.ModuleDict(
            {
                "fc1": nn.Linear(themes, 100),
                "bn1": nn.BatchNorm1d(100),
                "relu1": nn.PReLU(),
                "relu7": nn.PReLU(),
            }
        )
        self.mobileNet = nn.ModuleDict(
            {"head": nn.Sequential(nn.ReLU(), nn.Dropout(0.75), nn.Linear(CHANNELS, 10))}
        )
        self.head_rgb = nn.Sequential(
            nn.ReLU(), nn.Dropout(0.75), nn.Linear(_RGB**4, 10), nn.Softmax(dim=1)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.75), nn.Linear(30, 10), nn.Softmax(dim=1))

    def forward(self, seen: Inputs) -> torch.Tensor:
        """Mean grades [n], 1 to 10."""
        colours = self.head_rgb(cosine_relations(seen.colours))
        hidden = self.tygertnet["bn1"](self.tygertnet["fc1"](seen.themes))
        hidden = functional.dropout(self.tygertnet["relu1"](hidden), 0.5, self.training)
        weight, bias = (self.hypernet[f"last_out_{k}"](seen.themes) for k in "wb")
        theme = self.tygertnet["relu7"]((hidden * weight).sum(dim=1, keepdim=True) + bias)
        looks = self.mobileNet["head"](seen.pooled)
        grades: torch.Tensor = self.head(torch.cat([looks, theme.expand(-1, 10), colours], dim=1))
        return grades @ GRADES


class TANet:
    """Trunks and heads."""

    def __init__(self, inputs: Callable[[torch.Tensor], Inputs], heads: ThemeHeads) -> None:
        """``inputs``: uint8 images to what the heads see."""
        self._inputs, self._heads = inputs, heads.eval()

    @torch.inference_mode()
    def score(self, pool: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Mean grade of uint8 [n, 3, h, w]: float32 [n]; the seeds are not looked at."""
        return torch.cat([self._heads(self._inputs(part)) for part in torch.split(pool, _CHUNK)])


def _colours(pixels: torch.Tensor) -> torch.Tensor:
    return functional.adaptive_avg_pool2d(pixels, (_RGB, _RGB))


def fitted_tanet(trunk: EfficientNetLite0, rated: RatedImages, steps: int, seed: int) -> TANet:
    """The heads on a frozen EfficientNet-Lite0, ImageNet's classes as themes, fitted to ratings."""

    def inputs(images: torch.Tensor) -> Inputs:
        pooled = trunk.maps(images).mean(dim=(2, 3))
        return Inputs(pooled, trunk.logits(images), _colours(imagenet_pixels(images)))

    parts = [inputs(part) for part in torch.split(rated.images, _CHUNK)]
    seen = Inputs(
        *(torch.cat([getattr(p, k) for p in parts]) for k in ("pooled", "themes", "colours"))
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        heads = ThemeHeads(seen.themes.shape[1])
    fit_head(heads, lambda rows: heads(seen.rows(rows)), rated.ratings, steps, seed)
    return TANet(inputs, heads)


def published_tanet(path: str | Path) -> TANet:
    """The published network: ResNet-18 on Places, a MobileNetV2 trunk, and the heads.

    Raises:
        ModelError: no such safetensors file, or other tensors in it.
    """
    from torchvision.models import resnet18

    saved = TensorBundle.load(Path(path)).tensors
    trunk, scenes, heads = (
        mobilenet_features(),
        resnet18(weights=None, num_classes=365),
        ThemeHeads(),
    )
    base, places = "mobileNet.base_model.0.", "res365_last."
    load_part(trunk, saved, base, path)
    load_part(scenes, saved, places, path)
    rest = {k: v for k, v in saved.items() if not k.startswith((base, places))}
    load_part(heads, rest, "", path)
    scenes = scenes.eval().requires_grad_(False)

    def inputs(images: torch.Tensor) -> Inputs:
        pixels = imagenet_pixels(images)
        return Inputs(trunk(pixels).mean(dim=(2, 3)), scenes(pixels), _colours(pixels))

    return TANet(inputs, heads)
