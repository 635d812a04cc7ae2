"""What a rehearsal says: that the run would go or why not, and what it would take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coti.core.out_of_memory import GIB
from ops.rehearsal.estimate import Estimate, Range, as_json

__all__ = ["Answer"]


@dataclass
class Answer:
    """All of it; without an estimate where the checks said enough, or the rehearsal failed."""

    problems: list[str] = field(default_factory=list)
    """Why the run would fail, a sentence each with key and remedy; none: it would run."""
    notes: list[str] = field(default_factory=list)
    """What it will lack."""
    unchecked: list[str] = field(default_factory=list)
    """What the rehearsal could not look at."""
    estimate: Estimate | None = None
    device: dict[str, Any] = field(default_factory=dict)
    batch_bytes: float | None = None
    """Bytes that an image more of a training batch takes."""
    price: float | None = None
    """Of an hour, in the user's money."""
    took: float = 0.0
    """Seconds of the rehearsal itself."""

    @property
    def would_run(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    @property
    def exit_code(self) -> int:
        """0 or 1."""
        return 0 if self.would_run else 1

    @property
    def money(self) -> Range | None:
        """What the hours cost."""
        if self.price is None or self.estimate is None:
            return None
        return self.estimate.seconds.times(self.price / 3600)

    def row(self) -> dict[str, Any]:
        """As JSON: sizes in bytes, times in seconds."""
        return {
            "would_run": self.would_run,
            "problems": self.problems,
            "notes": self.notes,
            "unchecked": self.unchecked,
            "device": self.device,
            "estimate": None if self.estimate is None else as_json(self.estimate),
            "batch_bytes": self.batch_bytes,
            "price_per_hour": self.price,
            "money": None if self.money is None else as_json(self.money),
            "rehearsal_seconds": self.took,
        }

    def table(self) -> list[list[str]]:
        """A row a step: how often, its time and range, its share, its memory, what it writes."""
        if self.estimate is None:
            return []
        total = max(self.estimate.seconds.expected, 1e-9)
        return [
            [
                row.step,
                str(row.times),
                span(row.seconds.expected),
                f"{span(row.seconds.low)} to {span(row.seconds.high)}",
                f"{row.seconds.expected / total:.0%}",
                size(row.gpu or row.peak) if row.peak else "–",
                size(row.written) if row.written else "–",
            ]
            for row in self.estimate.steps
        ]

    def sentences(self) -> list[str]:
        """The sums, a line each."""
        found = self.estimate
        if found is None:
            return []
        sizes, seconds = found.sizes, found.seconds
        lines = [
            f"Time      {span(seconds.expected)}, between {span(seconds.low)} and "
            f"{span(seconds.high)}, {self._where()}; {span(found.processor)} of processors",
            f"Memory    {size(found.peak)} at most"
            + (f"; of the GPU {size(found.gpu)}" if found.gpu else "")
            + (
                ""
                if self.batch_bytes is None
                else f"; an image more in train.batch_size takes {size(self.batch_bytes)}"
            ),
            f"Images    {found.images:,} generated; pool {sizes.inputs:,}, of which some "
            f"{sizes.accepted:,} are accepted; references {sizes.references:,}, seeds "
            f"{sizes.seeds:,}",
            f"Disk      {size(found.store)} of artifacts (a cluster's bucket), "
            f"{size(found.tracking)} of MLflow and ZenML, {size(found.outputs)} of outputs",
        ]
        if self.money is not None:
            low, mid, high = self.money.low, self.money.expected, self.money.high
            lines.append(f"Money     {mid:,.2f}, between {low:,.2f} and {high:,.2f}")
        return lines

    def _where(self) -> str:
        own = self.device
        name = f"{own.get('device')} ({own['name']})" if own.get("name") else own.get("device")
        return f"on {name}, {own.get('dtype')}, {own.get('threads')} threads"


def span(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> span(0.31), span(75), span(5000), span(400000)
    ('0.3 s', '75 s', '83 min', '111.1 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in the unit that suits them.

    >>> size(300), size(5 << 20), size(3 << 30)
    ('0.0 MiB', '5.0 MiB', '3.0 GiB')
    """
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / (1 << 20):.1f} MiB"
