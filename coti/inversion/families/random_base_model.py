"""Base models of true architecture with random weights: speed, memory and plumbing without any."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from coti.core.quiet_libraries import quiet_libraries
from coti.inversion.families.configurations import write_configs
from coti.inversion.families.registry import architectures

__all__ = ["networks", "reduced", "write_random"]


def reduced(name: str, divisor: int = 10, resolution: int = 128) -> dict[str, Any]:
    """An architecture of every block and depth, at a fraction of the width.

    Args:
        name: of ``architectures()``.
        divisor: of the UNet's channels; 10 is the least width its group norms allow. The
            autoencoder's and the text encoders' widths are divided by 4.
        resolution: pixels of a side.
    """
    parts: dict[str, Any] = copy.deepcopy(dict(architectures()[name]))
    unet, vae = parts["unet"], parts["vae"]
    unet["block_out_channels"] = [c // divisor for c in unet["block_out_channels"]]
    if isinstance(unet["attention_head_dim"], list):  # 64 channels a head, as at full width
        unet["attention_head_dim"] = [max(1, c // 64) for c in unet["block_out_channels"]]
    unet["sample_size"] = resolution // 8
    unet["cross_attention_dim"] //= 4
    vae["block_out_channels"] = [c // 4 for c in vae["block_out_channels"]]
    vae["sample_size"] = resolution
    texts = [config for part, config in parts.items() if part.startswith("text_encoder")]
    for text in texts:
        for key in ("hidden_size", "intermediate_size", "num_attention_heads", "projection_dim"):
            text[key] //= 4
    if "addition_time_embed_dim" in unet:  # the pooled text and six numbers of the image's size
        times = 6 * unet["addition_time_embed_dim"]
        unet["projection_class_embeddings_input_dim"] = texts[-1]["projection_dim"] + times
    return parts


def write_random(
    parts: str | Mapping[str, Any], folder: Path, dtype: torch.dtype = torch.float16
) -> Path:
    """A diffusers folder with random weights; shapes, memory and speed are the real model's.

    Args:
        parts: a name of ``architectures()`` (``sd15``, ``sd2-base``, ``sd2``, ``sdxl``), or
            configurations such as ``reduced`` gives.
        folder: where it is written.
        dtype: of the stored weights.
    """
    configs = dict(architectures()[parts] if isinstance(parts, str) else parts)
    write_configs(configs, folder)
    torch.manual_seed(0)
    for part, model in networks(configs):
        model.to(dtype).save_pretrained(str(folder / part))
    return folder


def networks(configs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each part that has weights, by its name, with random ones."""
    diffusers: Any = import_module("diffusers")
    transformers: Any = import_module("transformers")
    for part, config in configs.items():
        if part == "scheduler":
            continue
        with quiet_libraries():
            if part.startswith("text_encoder"):
                kind = getattr(transformers, config["architectures"][0])
                yield part, kind(transformers.CLIPTextConfig(**config))
            else:
                yield part, getattr(diffusers, config["_class_name"]).from_config(dict(config))
