"""X_T: which images are trained on, and since which cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TrainingSet"]


@dataclass(frozen=True)
class TrainingSet:
    """The seeds, then what was selected (a cycle picks), in the order in which it joined."""

    seeds: tuple[str, ...]
    """Ids of the seeds."""
    selected: tuple[str, ...] = ()
    """Ids of pool images."""
    cycles: tuple[int, ...] = ()
    """The cycle that selected each of them."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All of X_T."""
        return self.seeds + self.selected

    def __len__(self) -> int:
        return len(self.seeds) + len(self.selected)

    def added_in(self, cycle: int) -> tuple[str, ...]:
        """What one cycle added."""
        rows = zip(self.selected, self.cycles, strict=True)
        return tuple(name for name, when in rows if when == cycle)

    def since(self) -> dict[str, int]:
        """Id to the cycle that it joined in; seeds in 0."""
        return dict.fromkeys(self.seeds, 0) | dict(zip(self.selected, self.cycles, strict=True))

    def as_of(self, cycle: int) -> TrainingSet:
        """As it was in a cycle."""
        kept = sum(when <= cycle for when in self.cycles)
        return TrainingSet(self.seeds, self.selected[:kept], self.cycles[:kept])

    def plus(self, ids: Sequence[str], cycle: int) -> TrainingSet:
        """With what a cycle selected."""
        return TrainingSet(
            self.seeds, (*self.selected, *ids), (*self.cycles, *(cycle for _ in ids))
        )
