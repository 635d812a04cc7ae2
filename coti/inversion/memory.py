"""What to turn when the device's memory is too small, and what it saves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from coti.core.errors import TrainingError
from coti.core.out_of_memory import GIB
from coti.inversion.base_model import TextToImageModel
from coti.settings import TrainSettings

__all__ = ["memory_knobs", "out_of_memory_explained", "weight_bytes"]


def weight_bytes(model: TextToImageModel) -> int:
    """Bytes of the frozen parameters of UNet, autoencoder and text encoders."""
    parts = (model.unet, model.vae, *model.text_encoders)
    return sum(p.numel() * p.element_size() for part in parts for p in part.parameters())


def memory_knobs(
    settings: TrainSettings,
    weights: int,  # bytes of the base model's frozen parameters
    activations: int,  # most bytes that training added; 0 where the device doesn't say
    float32: bool,  # whether the frozen parts are
) -> list[str]:
    """What saves memory, the largest saving first, each with an estimate.

    Activations grow with the batch; recomputing them keeps about a third. They are what had been
    allocated when memory ran out, so the true need, and with it the saving, is larger.
    """
    knobs: list[tuple[float, str]] = []

    def turn(knob: str, share: float, of: int, otherwise: str, beside: str = "") -> None:
        saving = f"at least {share * of / GIB:.1f} GiB" if of else otherwise
        knobs.append((share * of, f"{knob} (saves {saving}{beside})"))

    if settings.batch_size > 1:
        accumulated = settings.gradient_accumulation_steps * 2
        turn(
            f"batch_size: {settings.batch_size // 2} with gradient_accumulation_steps: "
            f"{accumulated}",
            0.5,
            activations,
            "about half of the activations",
        )
    if not settings.gradient_checkpointing:
        turn(
            "gradient_checkpointing: true",
            0.65,
            activations,
            "about two thirds of the activations",
            ", a third more time, goes on from the checkpoint",
        )
    if float32:
        turn("dtype: bfloat16", 0.5, weights + activations if activations else 0, "about half")
    if not knobs:
        return ["a base model with fewer pixels, or a larger device"]
    return [text for _, text in sorted(knobs, key=lambda knob: -knob[0])]


@contextmanager
def out_of_memory_explained(settings: TrainSettings, model: TextToImageModel) -> Iterator[None]:
    """Turns an out-of-memory error inside into one that says which knob to turn.

    Raises:
        TrainingError: the device's memory did not suffice.
    """
    on_gpu = model.device.type == "cuda"
    before = 0
    if on_gpu:
        # What is there already, such as scorers, is no matter of training's settings.
        torch.cuda.reset_peak_memory_stats(model.device)
        before = torch.cuda.memory_allocated(model.device)
    try:
        yield
    except torch.OutOfMemoryError as error:
        peak = torch.cuda.max_memory_allocated(model.device) if on_gpu else 0
        weights = weight_bytes(model)
        activations = max(0, peak - before)
        knobs = memory_knobs(settings, weights, activations, model.dtype == torch.float32)
        had = ""
        if on_gpu:
            total = torch.cuda.get_device_properties(model.device).total_memory
            had = (
                f" ({total / GIB:.1f} GiB; {before / GIB:.1f} were taken before, of which the "
                f"base model's weights are {weights / GIB:.1f})"
            )
        raise TrainingError(
            f"The device ran out of memory{had}. Saves memory: {'; '.join(knobs)}. A checkpoint "
            "that was written is kept; another batch size or dtype begins the cycle anew."
        ) from error
