"""What a rehearsal saw, as the process that ran it wrote it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from coti.settings import RunSettings
from ops.rehearsal.counts import Sizes
from ops.rehearsal.settings_json import settings_from
from ops.rehearsal.units import Units, units
from ops.rehearsal.watch import Sample, StepTaken

__all__ = ["Measured", "Run", "Step"]

Step = StepTaken


@dataclass(frozen=True)
class Run:
    """One of its runs."""

    settings: RunSettings
    sizes: Sizes
    seconds: float
    steps: list[Step]
    written: dict[str, int]
    processor: float = 0.0

    @property
    def between(self) -> float:
        """Seconds that were no step's."""
        return max(0.0, self.seconds - sum(step.seconds for step in self.steps))

    def of_processors(self) -> Run:
        """With the processors' seconds instead of the clock's."""
        steps = [
            replace(
                step,
                seconds=step.processor,
                work={
                    kind: [each._replace(seconds=each.processor) for each in samples]
                    for kind, samples in step.work.items()
                },
            )
            for step in self.steps
        ]
        return replace(self, seconds=self.processor, steps=steps)

    @property
    def cycles(self) -> int:
        """How many there were."""
        return sum(step.name == "train_cycle" for step in self.steps)

    def steps_of(self, name: str) -> list[tuple[Units, Step]]:
        """The steps of one name with how much they had to do; a selection that found nothing ends
        a run early."""
        planned = [each for each in units(self.settings, self.sizes) if each.step == name]
        return list(zip(planned, [s for s in self.steps if s.name == name], strict=False))


@dataclass(frozen=True)
class Measured:
    """All that it saw."""

    start: float
    """Seconds before the first step: imports, ZenML's own start."""
    runs: tuple[Run, Run]
    """The least; then more of what was cheap, less of what was dear."""
    judging: float
    """Seconds of a cycle's metrics on as many features as the whole run has."""
    widths: dict[str, int]
    missing: list[str]
    """Metrics that the whole run will not have, a sentence each."""
    by_step: bool
    device: dict[str, Any]
    start_processor: float = 0.0
    judging_processor: float = 0.0
    batch_bytes: float | None = None
    """Bytes that an image more of a training batch takes; None where a batch is one image."""

    def of_processors(self) -> Measured:
        """With the processors' seconds instead of the clock's."""
        first, second = (run.of_processors() for run in self.runs)
        return replace(
            self,
            start=self.start_processor,
            runs=(first, second),
            judging=self.judging_processor,
        )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Measured:
        """Of what `cli.rehearse_once` wrote."""
        first, second = (
            Run(
                settings_from(each["settings"]),
                Sizes(**each["sizes"]),
                each["seconds"],
                [_step(step) for step in each["steps"]],
                each["written"],
                each["processor"],
            )
            for each in values["runs"]
        )
        others = {name: values[name] for name in cls.__dataclass_fields__ if name != "runs"}
        return cls(runs=(first, second), **others)


def _step(values: Mapping[str, Any]) -> Step:
    work = {kind: [Sample(*each) for each in samples] for kind, samples in values["work"].items()}
    return Step(**{**values, "work": work})
