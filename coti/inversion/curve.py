"""What a training looked like, step by step, and whether it is still sound."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from coti.core.errors import TrainingError
from coti.inversion.schedule import DynamicSchedule
from coti.scores.formulas import PhiValue

__all__ = ["Curve"]


class Curve:
    """The curve. Numbers of a step stay on the device until somebody looks at them."""

    def __init__(self) -> None:
        self._waiting: list[torch.Tensor] = []
        self.rows: list[dict[str, float | int | None]] = []
        """One a step; see :class:`coti.inversion.trainer.TrainResult`."""

    @torch.no_grad()
    def add(
        self,
        step: int,
        loss: torch.Tensor,
        parts: Sequence[torch.Tensor],
        dynamic_schedule: DynamicSchedule,
    ) -> None:
        """Note a step: its loss (scalar) and, from ``parts``, gradient and length."""
        gradients = [v.grad.square().sum() for v in parts if v.grad is not None]
        lengths = [v.square().sum() for v in parts]
        numbers = [loss, torch.stack(gradients).sum(), torch.stack(lengths).sum()]
        self._waiting.append(torch.stack(numbers))
        self.rows.append(
            {
                "step": step,
                "loss": None,
                "learning_rate": dynamic_schedule.learning_rate,
                "stage": dynamic_schedule.stage,
                "phi": None,
                "gamma_aes": None,
                "gamma_con": None,
            }
        )

    def add_phi(self, value: PhiValue) -> None:
        """Note an evaluation of φ after the latest step."""
        self.rows[-1].update(value._asdict())

    def check(self) -> None:
        """Bring the waiting numbers over and stop at the first that isn't finite.

        Raises:
            TrainingError: naming the step, what was not finite there, and the remedy.
        """
        if not self._waiting:
            return
        numbers = torch.stack(self._waiting).cpu()
        self._waiting.clear()
        for row, values in zip(self.rows[-len(numbers) :], numbers, strict=True):
            bad = (~values.isfinite()).tolist()
            if any(bad):
                cause = ("the loss", "the gradient", "the embedding")[bad.index(True)]
                remedy = (
                    "The model overflows in this precision: set dtype: bfloat16 or float32."
                    if bad[0] and row["step"] == 1
                    else f"Lower the learning rate (it was {row['learning_rate']:g})."
                )
                raise TrainingError(
                    f"Training stopped at step {row['step']}: {cause} is not finite. {remedy} "
                    "That begins this cycle anew, and earlier ones come from the cache; for the "
                    "settings as they are a checkpoint that was written before is kept."
                )
            row["loss"] = float(values[0])
