"""The dynamic learning-rate schedule inside a cycle, driven by the indicator φ (Algorithm 1)."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

from coti.core.errors import TrainingError
from coti.settings import ScheduleSettings

__all__ = ["Action", "DynamicSchedule"]


class Action(enum.Enum):
    """What to do after an evaluation of φ."""

    CONTINUE = "continue"
    """Train on at the same rate."""
    LOWER_RATE = "lower_rate"
    """The next lower rate is in force now; train at least one more interval on the same X_T."""
    END = "end"
    """The cycle is over; the next one starts again at r_1."""


class DynamicSchedule:
    """Rates r_1 > … > r_m; φ decides when to go down and when the cycle ends.

    φ fell: the next lower rate, X_T frozen, at least one more interval. φ on a high plateau for
    several evaluations, or a fall at r_m: the cycle ends. A step limit is the trainer's.

    One object serves one cycle. Its state is JSON, so that a killed training goes on unchanged.
    """

    def __init__(self, settings: ScheduleSettings, learning_rates: Sequence[float]) -> None:
        if not learning_rates:
            raise TrainingError("learning_rates must hold at least one rate, got none.")
        self.settings = settings
        self.learning_rates = tuple(learning_rates)
        self.stage = 0
        """Index of the rate in force; 0 is r_1."""
        self.reason = ""
        """Why the cycle ended, a sentence for the user; empty before that."""
        self._previous: float | None = None
        self._plateau: list[float] = []

    @property
    def learning_rate(self) -> float:
        """The rate in force."""
        return self.learning_rates[self.stage]

    @property
    def frozen(self) -> bool:
        """Whether X_T is frozen: it is from the first fall of φ to the end of the cycle."""
        return self.stage > 0

    def observe(self, phi: float) -> Action:
        """Take in one evaluation of φ, 0 to 10, and say what follows from it.

        Raises:
            TrainingError: φ is not a number in [0, 10].
        """
        if not 0.0 <= phi <= 10.0 or math.isnan(phi):
            raise TrainingError(f"phi must lie in [0, 10], got {phi}.")
        previous, self._previous = self._previous, phi
        if not self.settings.dynamic:
            return Action.CONTINUE
        if previous is not None and phi < previous - self.settings.fall:
            return self._fell(previous, phi)
        self._plateau.append(phi)
        flat = self._plateau[-self.settings.plateau_evaluations :]
        if (
            len(flat) == self.settings.plateau_evaluations
            and min(flat) >= self.settings.plateau
            and max(flat) - min(flat) <= self.settings.plateau_width
        ):
            if flat[0] - phi > self.settings.fall:  # a fall in small steps is a fall
                return self._fell(flat[0], phi)
            self.reason = f"φ stayed at {phi:.2f} for {len(flat)} evaluations."
            return Action.END
        return Action.CONTINUE

    def _fell(self, before: float, phi: float) -> Action:
        self._plateau.clear()
        if self.stage + 1 < len(self.learning_rates):
            self.stage += 1
            return Action.LOWER_RATE
        self.reason = (
            f"φ fell from {before:.2f} to {phi:.2f} at the lowest learning rate, "
            f"{self.learning_rate:g}."
        )
        return Action.END

    def state_dict(self) -> dict[str, Any]:
        """All that changes while it runs, as JSON values."""
        return {
            "learning_rates": list(self.learning_rates),
            "stage": self.stage,
            "previous": self._previous,
            "plateau": list(self._plateau),
            "reason": self.reason,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of :meth:`state_dict`.

        Raises:
            TrainingError: the state belongs to other learning rates.
        """
        if tuple(state["learning_rates"]) != self.learning_rates:
            raise TrainingError(
                f"the checkpoint's learning_rates are {list(state['learning_rates'])}, the "
                f"settings' {list(self.learning_rates)}: resume with the same settings, or "
                "delete the checkpoint."
            )
        self.stage = int(state["stage"])
        self._previous = None if state["previous"] is None else float(state["previous"])
        self._plateau = [float(phi) for phi in state["plateau"]]
        self.reason = str(state["reason"])
