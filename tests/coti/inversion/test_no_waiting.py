"""A step never waits for the device: on a CPU seen by the operations that would make it wait."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.settings import ModelSettings
from tests.coti.inversion.test_trainer import TRAIN, train

WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select")
"""What reads a number, or a size that depends on numbers, from a device."""


HOST = ("batches.py", "curve.py")
"""Which image comes next is read from the host's own memory, and the curve once a look."""


class _Seen(TorchDispatchMode):
    """Counts them."""

    waits: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in WAITING:
            frames = traceback.extract_stack()
            self.waits += not any(frame.filename.endswith(HOST) for frame in frames)
        return func(*args, **(kwargs or {}))


def _waits(model: TextToImageModel, images: torch.Tensor, steps: int) -> int:
    settings = replace(TRAIN, max_steps=steps, phi_every=steps, checkpoint_every=0)
    with _Seen() as seen:
        train(model, images, None, settings)
    return seen.waits


@pytest.mark.parametrize("kind", ["epsilon", "sdxl"])
def test_more_steps_wait_no_more(kind: str, load_model: Any, images: torch.Tensor) -> None:
    """Only the looks wait, and there is one at the end in both."""
    model = load_model(kind)
    few = _waits(model, images, 3)
    assert few > 0, "the start does wait"
    assert _waits(model, images, 9) == few


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_more_steps_wait_no_more_on_a_gpu(
    model_folder: Callable[..., Path], images: torch.Tensor
) -> None:
    """There torch itself tells each call that waits."""
    settings = ModelSettings(base_model=str(model_folder("sdxl")), device="cuda", dtype="bfloat16")
    model = load_text_to_image(settings)

    def told(steps: int) -> int:
        how = replace(TRAIN, max_steps=steps, phi_every=steps, checkpoint_every=0)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                train(model, images, None, how)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(each.message) for each in seen)

    train(model, images, None, replace(TRAIN, max_steps=1))  # libraries start, and wait, once
    assert told(3) == told(9)
