"""A LoRA that another tool trained, as generation uses it: read, applied, taken off again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from coti.core.errors import EmbeddingError
from coti.core.extras import install_extra
from coti.core.file_rules import user_path
from coti.core.quiet_libraries import quiet_libraries
from coti.core.weights import is_safetensors
from coti.inversion.base_model import TextToImageModel

__all__ = ["LoRA", "is_lora"]

_MARKS = ("lora_down", "lora_up", "lora_A", "lora_B", ".lora.", "_lora.")
"""One of these is in the names of a LoRA's tensors, whoever wrote them."""
_NAME = "ranked"
"""Of the adapter in the networks, while it is applied."""
_OTHERS = ("hada_", "lokr_", "oft_", "dora_scale")
"""Of adapters that are called LoRA and are computed otherwise."""


@dataclass(frozen=True)
class LoRA:
    """Low-rank additions to a model's weights (Hu et al. 2021), on the CPU.

    It has what generation asks of an adapter, and no token of its own: the prompt names its
    trigger word.
    """

    path: Path
    tensors: dict[str, torch.Tensor] = field(repr=False)
    """As they stand in the file, of diffusers, kohya or a web UI."""

    parts: tuple[torch.Tensor, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str) -> LoRA:
        """Read a safetensors file.

        Raises:
            EmbeddingError: no such file, no LoRA, one that is computed otherwise, or numbers that
                are not finite.
        """
        path = user_path(path)
        if not is_safetensors(path):
            raise EmbeddingError(f"{path} is no safetensors file: save the LoRA as one.")
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError) as error:
            raise EmbeddingError(f"{path} is damaged: copy or save it again.") from error
        if not any(_marked(name, _MARKS) for name in tensors):
            raise EmbeddingError(f"{path} holds no LoRA.")
        if other := next((name for name in tensors if _marked(name, _OTHERS)), None):
            raise EmbeddingError(
                f"{path} is no plain LoRA (it has {other}): its images can be ranked, from a "
                "folder that your own tool generated."
            )
        wrong = [name for name, each in tensors.items() if not _finite(each)]
        if wrong:
            raise EmbeddingError(f"{path}: {wrong[0]} has numbers that are not finite.")
        return cls(path, tensors)

    def check_fits(self, model: TextToImageModel, source: str | None = None) -> None:
        """Nothing is known before it is applied."""

    def token_vectors(self, parts: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """It has none."""
        return ()

    @contextmanager
    def applied(self, model: TextToImageModel, parts: Sequence[torch.Tensor]) -> Iterator[None]:
        """Inside, the model's text encoders and UNet work with it; after it as before, bit for bit.

        Raises:
            EmbeddingError: it is another model's, in whole or in part, or what applies it is not
                installed.
        """
        if find_spec("peft") is None:
            raise EmbeddingError(f"peft is needed for a LoRA: {install_extra('lora')}.")
        pipe = _pipeline_of(model)
        try:
            self._load(pipe, model)
            yield
        finally:
            pipe.unload_lora_weights()

    def _load(self, pipe: Any, model: TextToImageModel) -> None:
        with quiet_libraries():
            try:
                pipe.load_lora_weights(dict(self.tensors), adapter_name=_NAME)
            except (RuntimeError, ValueError, KeyError, IndexError) as error:
                reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no reason"
                raise EmbeddingError(self._misfit(model, reason.strip())) from error
        # What has no place is left out by diffusers, with a warning that nobody reads.
        own = sum(each.numel() for name, each in self.tensors.items() if _marked(name, _MARKS))
        taken = sum(
            weight.numel()
            for network in (model.unet, *model.text_encoders)
            for name, weight in network.named_parameters()
            if f".{_NAME}." in name
        )
        if taken != own:
            reason = f"of its {own:,} numbers {taken:,} have a place there"
            raise EmbeddingError(self._misfit(model, reason))

    def _misfit(self, model: TextToImageModel, reason: str) -> str:
        return (
            f"{self.path} does not fit {model.name} ({reason}): give the base model that it was "
            "trained on with --model."
        )


def is_lora(path: Path) -> bool:
    """Whether a file holds a LoRA's tensors; asked of its header alone."""
    if not is_safetensors(path):
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return any(_marked(name, (*_MARKS, *_OTHERS)) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def _marked(name: str, marks: Sequence[str]) -> bool:
    return any(mark in name for mark in marks)


def _finite(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _pipeline_of(model: TextToImageModel) -> Any:
    """A diffusers pipeline of the model's own networks, which loads LoRAs in all their formats."""
    import diffusers

    family = model.family
    parts = {
        family.unet.folder: model.unet,
        family.vae.folder: model.vae,
        "scheduler": diffusers.DDPMScheduler.from_config(model.scheduler_config),
    }
    for part, tokenizer, encoder in zip(
        family.text_encoders, model.tokenizers, model.text_encoders, strict=True
    ):
        parts |= {part.tokenizer: tokenizer, part.folder: encoder}
    kind = getattr(diffusers, family.pipeline)
    known = inspect.signature(kind.__init__).parameters
    without = {name: None for name in ("safety_checker", "feature_extractor") if name in known}
    with quiet_libraries():
        return kind(**parts, **without)
