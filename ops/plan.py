"""What a strategy means for the loop: how many cycles, how many steps, which first batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coti.settings import ControllerSettings, SelectionSettings, TrainSettings
from ops.run_file import CotiConfig

__all__ = ["Plan", "plan_of"]


@dataclass(frozen=True)
class Plan:
    """The settings of the loop after the strategy had its say."""

    controller: ControllerSettings
    selection: SelectionSettings
    train: TrainSettings
    selects_first: bool
    """Whether cycle 0 already selects; COTI's trains on the seeds alone."""
    batch: int
    """Images that must be there to be added at once."""


def plan_of(config: CotiConfig) -> Plan:
    """COTI loops; a baseline trains once, with the steps that all of COTI's cycles may take."""
    if config.strategy == "coti":
        batch = config.selection.batch if config.controller.max_cycles else 0
        return Plan(config.controller, config.selection, config.train, False, batch)
    cycles = config.controller.max_cycles + 1
    return Plan(
        replace(config.controller, max_cycles=0),
        replace(config.selection, batch=config.baseline_images),
        replace(config.train, max_steps=config.train.max_steps * cycles),
        selects_first=config.strategy != "seeds",
        batch=config.baseline_images if config.strategy == "random" else 0,
    )
