"""What is taught, and which token it learns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from coti.core.tokens import fault_of_token
from coti.settings._base import Strict, require

_DEVICE = re.compile(r"auto|cpu(:0)?|cuda(:[0-9]{1,3})?|mps")
"""Kinds that training and generation were written for; torch knows more."""


@dataclass(frozen=True)
class ModelSettings(Strict):
    """The text-to-image model that learns the embedding."""

    _section = "model."

    base_model: str = "assets/models/base"
    """A diffusers folder, a hub id, a single-file checkpoint (``.safetensors``), or one of these
    on S3 (``s3://bucket/key``, pinned by ``sha256``)."""
    revision: str | None = None
    """Commit of the hub repository; pin it, or a moved branch changes your results."""
    sha256: str | None = None
    """Pinned hash of the file or folder, as ``coti weights hash`` prints it; other weights are
    refused. ``s3://`` needs it."""
    config: str | None = None
    """What a single-file checkpoint is: ``sd15``, ``sd2-base`` (512²), ``sd2`` (768²,
    v-prediction), ``sdxl``, or a diffusers folder that describes it. None: recognised where the
    file tells; those of 2.x don't."""
    device: str = "auto"
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the frozen parts; the embedding itself is always float32. ``auto``: bfloat16
    on a GPU that computes in it and on a CPU with AMX tiles (which then trains and generates more
    than half again as fast), float16 on an older GPU, float32 on any other CPU: with AVX-512's
    bfloat16 alone a step takes longer than in float32."""
    deterministic: bool = True
    """The same embedding and images, bit for bit on a CPU, whatever else the machine does. Off,
    threads add up gradients in any order: two trainings side by side, the same in everything,
    learn different embeddings. Scores are computed so in any case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            _DEVICE.fullmatch(self.device) is not None,
            f"model.device is {self.device!r}: auto, cpu, cuda, cuda:0 (and so on) or mps.",
        )


@dataclass(frozen=True)
class TokenSettings(Strict):
    """The new token."""

    _section = "token."

    placeholder_token: str = "<concept>"
    """The token to be learned, in small letters, as tokenizers read it; must not be in the
    vocabulary yet."""
    initializer: str = "object"
    """Where it starts: a word (one token of the model), or the path of an
    embedding file of the same width. A word near the concept saves steps."""
    num_vectors: int = 4
    """Vectors a token. More fit the concept closer and leave less room for the prompt."""
    learnable_property: Literal["object", "style"] = "object"
    """Which of the CLIP ImageNet templates training uses: 27 for objects, 19 for styles."""
    norm_control: Literal["none", "clip", "rescale"] = "clip"
    """``clip`` keeps each vector's norm at or below the vocabulary's largest, ``rescale`` at the
    vocabulary's mean; a longer one shouts down the rest of a prompt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fault = fault_of_token(self.placeholder_token)
        require(not fault, f"token.placeholder_token {fault}.")
        require(
            1 <= self.num_vectors <= 64,
            f"token.num_vectors is {self.num_vectors}: choose 1 to 64 (the paper's code uses 8).",
        )
