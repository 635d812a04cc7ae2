"""Randomly initialised models of true architecture, for speed and memory where no weights are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from coti.inversion.base_model import quiet_libraries
from coti.inversion.families.architectures import ARCHITECTURES, write_configs

__all__ = ["write_random"]


def write_random(
    parts: str | Mapping[str, Any], folder: Path, dtype: torch.dtype = torch.float16
) -> Path:
    """A diffusers folder with random weights; shapes, memory and speed are the real model's.

    Args:
        parts: a name of ``ARCHITECTURES`` (``sd15``, ``sd2-base``, ``sd2``, ``sdxl``), or
            configurations such as ``reduced`` gives.
        folder: where it is written.
        dtype: of the stored weights.
    """
    diffusers: Any = import_module("diffusers")
    transformers: Any = import_module("transformers")

    configs = dict(ARCHITECTURES[parts] if isinstance(parts, str) else parts)
    write_configs(configs, folder)
    torch.manual_seed(0)
    with quiet_libraries():
        for part, config in configs.items():
            if part == "scheduler":
                continue
            if part.startswith("text_encoder"):
                kind = getattr(transformers, config["architectures"][0])
                model = kind(transformers.CLIPTextConfig(**config))
            else:
                kind = getattr(diffusers, config["_class_name"])
                model = kind.from_config(dict(config))
            model.to(dtype).save_pretrained(str(folder / part))
    return folder
