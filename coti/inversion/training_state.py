"""What a training depends on, and its state in and out of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from coti.core.whole_files import tensor_hash
from coti.inversion.adapters.protocol import Adapter
from coti.inversion.averaging import Average
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import Checkpoint
from coti.inversion.curve import Curve
from coti.inversion.dvar import Dvar
from coti.inversion.schedule import DynamicSchedule
from coti.settings import ScheduleSettings, TokenSettings, TrainSettings

__all__ = ["NOT_LEARNED", "identity_of", "restore", "state_of"]

NOT_LEARNED = ("checkpoint_every", "gradient_checkpointing", "keep_latents_from")
"""Fields of TrainSettings that change nothing in what is learned: a checkpoint fits with others."""


def identity_of(
    model: TextToImageModel,
    images: torch.Tensor | Sequence[torch.Tensor],
    captions: Sequence[str] | None,
    init: Adapter,
    settings: TrainSettings,
    schedule: ScheduleSettings,
    token: TokenSettings,
    seed: int,
    processes: int,
) -> dict[str, str]:
    """What the trained tensors depend on; a checkpoint must agree in all of it."""
    named: dict[str, Any] = {f"train.{name}": value for name, value in asdict(settings).items()}
    named |= {f"schedule.{name}": value for name, value in asdict(schedule).items()}
    named |= {
        "token.learnable_property": token.learnable_property,
        "token.norm_control": token.norm_control,
        "base model": model.fingerprint[:12],
        "dtype": model.dtype,
        "device": model.device.type,
        "deterministic": model.deterministic,
        "images": tensor_hash(*images),
        "captions": tensor_hash(torch.tensor(list("\n".join(captions or ()).encode()))),
        "initial embedding": f"{init.token} {tensor_hash(*init.parts)}",
        "seed": seed,
        "processes": processes,
    }
    for field in NOT_LEARNED:
        del named[f"train.{field}"]
    return {name: str(value) for name, value in named.items()}


def state_of(
    identity: dict[str, str],
    step: int,
    ended: bool,
    parts: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    dynamic_schedule: DynamicSchedule,
    dvar: Dvar | None,
    curve: Curve,
    average: Average,
) -> Checkpoint:
    """All that a resumed training needs, after ``step`` steps."""
    tensors = {f"vectors.{i}": part for i, part in enumerate(parts)}
    for i, part in enumerate(parts):
        tensors |= {f"{name}.{i}": value for name, value in optimizer.state[part].items()}
    tensors |= average.kept()
    state: dict[str, Any] = {
        "step": step,
        "ended": ended,
        "schedule": dynamic_schedule.state_dict(),
        "curve": curve.rows,
    }
    if dvar is not None:
        state["dvar"] = {"losses": dvar.collect(), "reason": dvar.reason}
    return Checkpoint(identity, state, tensors)


@torch.no_grad()
def restore(
    saved: Checkpoint,
    parts: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    dynamic_schedule: DynamicSchedule,
    dvar: Dvar | None,
    curve: Curve,
    average: Average,
) -> tuple[int, bool]:
    """Put everything back where it was; returns the step and whether the cycle had ended."""
    for i, part in enumerate(parts):
        part.copy_(saved.tensors[f"vectors.{i}"])
        moments = [name for name in saved.tensors if name.endswith(f".{i}")]
        for name in moments:
            key = name.removesuffix(f".{i}")
            if key == "average":
                average.parts[i].copy_(saved.tensors[name])
            elif key not in ("vectors", "average"):
                optimizer.state[part][key] = saved.tensors[name].to(part.device)
    dynamic_schedule.load_state_dict(saved.state["schedule"])
    curve.rows = list(saved.state["curve"])
    if dvar is not None:
        dvar.losses = list(saved.state["dvar"]["losses"])
        dvar.reason = str(saved.state["dvar"]["reason"])
    return int(saved.state["step"]), bool(saved.state["ended"])
