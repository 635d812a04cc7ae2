"""Image-text models of open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.out_of_memory import out_of_memory_at
from coti.encoders.image_batches import batches, fit, looking_at
from coti.encoders.open_clip_loading import load_open_clip
from coti.encoders.protocol import EncoderOptions

__all__ = ["OpenClipEncoder", "load_image_text_encoder"]


_HALVES = ("CLIP", "CustomTextCLIP")
"""open_clip's models one half of which is enough for images."""


class OpenClipEncoder:
    """An image-text model of open_clip; :func:`load_image_text_encoder` makes one.

    Images are resized on tensors as the model's own preprocessing would: bicubic with
    antialiasing, rounded to whole grey levels, then its mean and standard deviation.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        tokenizer: Any,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 256,
        texts: bool = True,
    ) -> None:
        preprocess: dict[str, Any] = model.visual.preprocess_cfg  # type: ignore[assignment,union-attr]
        side = preprocess["size"]
        self.name = name
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.input_size = int(side if isinstance(side, int) else side[0])
        self._resize_mode = str(preprocess.get("resize_mode", "shortest"))
        self._fill = float(preprocess.get("fill_color", 0))
        self._mean = torch.tensor(preprocess["mean"], device=self.device)[:, None, None]
        self._std = torch.tensor(preprocess["std"], device=self.device)[:, None, None]
        model = model.eval().requires_grad_(False)
        self.size = int(model.encode_text(tokenizer(["a"])).shape[1])  # type: ignore[operator]
        if not texts and type(model).__name__ in _HALVES:
            model = _Images(model.visual)  # type: ignore[arg-type]
        remedy = "take a smaller model, or a larger device"
        with out_of_memory_at(ModelError, f"loading {name}", remedy, model):
            self._model: Any = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, options: EncoderOptions) -> OpenClipEncoder:
        """By ``model``, ``pretrained`` and ``sha256``; see :func:`load_image_text_encoder`."""
        if options.model is None:
            raise ModelError("open_clip needs a model: a folder, or a name with its weights.")
        return load_image_text_encoder(
            options.model,
            options.pretrained,
            device=options.device,
            batch_size=options.batch_size,
            sha256=options.sha256,
            texts=not options.images_only,
        )

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, size] on the CPU, not normalised."""
        with looking_at(self.name, self.batch_size):
            parts = [
                self._model.encode_image(self._preprocess(batch)).float().cpu()
                for batch in batches(images, self.batch_size, f"{self.name}: image features")
            ]
        return torch.cat(parts) if parts else torch.empty(0, self.size)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts to float32 [n, size] on the CPU, not normalised; over-long ones are cut."""
        parts = []
        with looking_at(self.name, self.batch_size, "texts"):
            for first in range(0, len(texts), self.batch_size):
                tokens = self._tokenizer(list(texts[first : first + self.batch_size]))
                parts.append(self._model.encode_text(tokens.to(self.device)).float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, self.size)

    def _preprocess(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(self.device, torch.float32)
        pixels = fit(pixels, self.input_size, self._resize_mode, self._fill)
        pixels = (pixels / 255 - self._mean) / self._std
        return pixels.contiguous(memory_format=torch.channels_last)


def load_image_text_encoder(
    model: str,
    pretrained: str | None = None,
    *,
    device: str = "cpu",  # a torch device, or auto for CUDA where there is one
    batch_size: int = 256,  # images or texts at once
    sha256: str | None = None,  # of the folder or the weights' file; s3:// needs it
    texts: bool = True,  # whether texts will be encoded; else what does it is not kept
) -> OpenClipEncoder:
    """Load an image-text model through open_clip, in float32.

    ``model`` is a folder with ``open_clip_config.json`` and safetensors weights,
    ``hf-hub:owner/name``, or the name of a model that open_clip knows. A name needs ``pretrained``:
    the weights' tag, or a file (a path, ``hf://owner/name@revision/file``, ``s3://bucket/key``).

    Raises:
        ModelError: nothing can be loaded from that; says what to do.
    """
    name, network, tokenizer = load_open_clip(model, pretrained, sha256)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return OpenClipEncoder(
        name, network, tokenizer, device=device, batch_size=batch_size, texts=texts
    )


class _Images(torch.nn.Module):
    """The half of an image-text model that sees."""

    def __init__(self, visual: torch.nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """As the whole model does."""
        features: torch.Tensor = self.visual(images)
        return features
