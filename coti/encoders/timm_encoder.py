"""Image models of timm, for a judge that was trained on no names.

What a model learned to tell apart decides what a distance on its features can see: one trained on
names sees little of the variety within a kind. The bundled one (``assets/models/ssl_judge``) and
DINOv2 (Oquab et al. 2023), on which Stein et al. 2023 measure generators, were trained on images
alone.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.file_rules import user_path
from coti.core.out_of_memory import out_of_memory_at
from coti.core.text_files import read_json
from coti.core.weights import check_hash, local_weights
from coti.encoders.image_batches import batches, fit, looking_at
from coti.encoders.protocol import EncoderOptions

__all__ = ["TimmEncoder", "load_timm"]

LARGEST_SIDE = 224
"""Images are shown no larger: Stein et al. 2023 measure on DINOv2 at 224, not at its 518."""


class TimmEncoder:
    """The pooled features of a model of timm; :func:`load_timm` makes one."""

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,  # without a classifier
        side: int,  # of the images that it sees, in pixels
        mean: tuple[float, ...],  # of each channel, of values from 0 to 1
        std: tuple[float, ...],
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 64,
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.input_size = side
        self.size = int(model.num_features)  # type: ignore[arg-type]
        self._mean = torch.tensor(mean, device=self.device)[:, None, None]
        self._std = torch.tensor(std, device=self.device)[:, None, None]
        model = model.eval().requires_grad_(False)
        remedy = "take a smaller model, or a larger device"
        with out_of_memory_at(ModelError, f"loading {name}", remedy, model):
            self._model: Any = model.to(self.device)

    @classmethod
    def load(cls, options: EncoderOptions) -> TimmEncoder:
        """By ``model``, ``pretrained`` and ``sha256``; see :func:`load_timm`."""
        if options.model is None:
            raise ModelError("timm needs a model: a folder, or a name with its weights.")
        return load_timm(
            options.model,
            options.pretrained,
            device=options.device,
            batch_size=options.batch_size,
            sha256=options.sha256,
        )

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, size] on the CPU, not normalised."""
        parts = []
        with looking_at(self.name, self.batch_size):
            for batch in batches(images, self.batch_size, f"{self.name}: image features"):
                pixels = fit(batch.to(self.device, torch.float32), self.input_size, "shortest", 0.0)
                parts.append(self._model((pixels / 255 - self._mean) / self._std).float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, self.size)


def load_timm(
    model: str,
    pretrained: str | None = None,
    *,
    device: str = "cpu",  # a torch device, or auto for CUDA where there is one
    batch_size: int = 64,  # images at once
    sha256: str | None = None,  # of the folder or the weights' file; s3:// needs it
) -> TimmEncoder:
    """Load an image model through timm, in float32.

    ``model`` is a folder as timm writes it (``config.json`` and ``model.safetensors``; ``s3://``,
    too), or one of timm's names, such as ``vit_small_patch14_dinov2.lvd142m``. A name needs
    ``pretrained``, a safetensors file: a path, ``hf://owner/name@revision/file`` or ``s3://…``.

    Raises:
        ModelError: nothing can be loaded from that; says what to do.
    """
    import timm

    logging.getLogger("timm").setLevel(logging.WARNING)  # it tells of every file that it loads
    if model.startswith("s3://"):
        model, sha256 = str(local_weights(model, sha256)), None
    folder = user_path(model)
    if folder.is_dir():
        if sha256:
            check_hash(folder, sha256, model)
        name, architecture, options, shown = folder.name, *_described(folder)
        weights = folder / "model.safetensors"
    else:
        name = architecture = model
        if not timm.is_model(architecture.partition(".")[0]):
            raise ModelError(
                f"{model!r} is neither a folder nor a model that timm knows: check the path (it is "
                "relative to where you run), or take a name of timm.list_models()."
            )
        if pretrained is None:
            raise ModelError(f"{model!r} needs pretrained, a safetensors file of its weights.")
        options, shown = {}, {}
        weights = local_weights(pretrained, sha256)
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise ModelError(f"{weights} is no safetensors file: pickled weights are not loaded.")
    try:
        known = timm.get_pretrained_cfg(architecture)
        own = {**(asdict(known) if known else {}), **shown}
        side = min(int(own["input_size"][-1]), LARGEST_SIDE)
        if own.get("fixed_input_size"):
            options = options | {"img_size": side}
        network = timm.create_model(
            architecture,
            pretrained=True,
            num_classes=0,
            # of a description's own places none is looked at
            pretrained_cfg_overlay={
                **shown,
                "source": "",
                "state_dict": None,
                "file": str(weights),
            },
            **options,
        )
    except Exception as error:  # timm and safetensors let every kind of exception through
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise ModelError(
            f"{weights} does not fit timm's {architecture} ({said}): is it another model's file?"
        ) from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return TimmEncoder(
        name,
        network,
        side,
        tuple(own["mean"]),
        tuple(own["std"]),
        device=device,
        batch_size=batch_size,
    )


def _described(folder: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Of a folder's ``config.json``: architecture, its options, and what images look like.

    Raises:
        ModelError: there is none, or it has something fetched or loaded from elsewhere.
    """
    import timm

    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} has no config.json: give a folder as timm writes it.")
    try:
        config = read_json(path.read_text(encoding="utf-8"))
        architecture, shown = str(config["architecture"]), dict(config["pretrained_cfg"])
        options = dict(config.get("model_args") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is no description of a timm model: {error}.") from error
    elsewhere = options.keys() & inspect.signature(timm.create_model).parameters.keys()
    if elsewhere or not timm.is_model(architecture.partition(".")[0]):
        named = f"model_args {', '.join(sorted(elsewhere))}" if elsewhere else repr(architecture)
        raise ModelError(
            f"{path} names {named}: an architecture of timm's and its own options are meant, and "
            "nothing is fetched or loaded from where a file says."
        )
    return architecture, options, shown
