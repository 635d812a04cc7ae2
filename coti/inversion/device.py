"""On which device, in which precision and memory format a base model computes."""

from __future__ import annotations

import os

import torch

from coti.core.errors import ModelError

__all__ = ["choose_device", "choose_dtype", "cpu_computes_bfloat16", "unet_format"]


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one.

    Raises:
        ModelError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        # `accelerate launch` gives every process a GPU of its own.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            f"device {name!r} is none that torch knows: auto, cpu, cuda, cuda:0 or mps."
        ) from error
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelError(f"device {name!r} is not on this machine; use device: auto or cpu.")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of that name; ``auto`` is what the device computes fast in.

    >>> choose_dtype("bfloat16", torch.device("cpu"))
    torch.bfloat16
    """
    if name != "auto":
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        return kinds[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    fast = device.type == "cpu" and cpu_computes_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def cpu_computes_bfloat16() -> bool:
    """Whether this CPU computes faster in bfloat16 than in float32: it has AMX tiles.

    Without instructions for it bfloat16 is emulated; with AVX-512's alone a training step took
    228 ms where float32's took 160 (``benchmarks.ti_throughput --dtype``, a Xeon without AMX).
    """
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


def unet_format(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """Memory format in which a UNet computes faster."""
    # A CPU's group norm in half precision is slow with channels last: a fifth of the forward pass.
    half_on_cpu = device.type == "cpu" and dtype != torch.float32
    return torch.contiguous_format if half_on_cpu else torch.channels_last
