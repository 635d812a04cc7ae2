"""Between cycles: go on or stop, and which cycle's embedding is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from coti.loop.record import CycleRecord
from coti.settings import ControllerSettings

__all__ = ["Decision", "decide", "stopped_for_want_of_images"]


@dataclass(frozen=True)
class Decision:
    """What the controller decided after a cycle."""

    go_on: bool
    reason: str
    """A sentence for the user."""
    kept_cycle: int
    """The cycle whose embedding is kept."""


def decide(history: Sequence[CycleRecord], settings: ControllerSettings) -> Decision:
    """Decide from the record alone, so that a re-run decides the same.

    Stops when N cycles after cycle 0 are done, when no candidate is left in the pool, or, with
    ``patience``, when φ_ref has not risen above its highest (by ``min_improvement``, where that is
    positive) for so many cycles. φ_ref that is not a number never rises.

    A cycle may be kept where φ_ref lies more than ``min_improvement`` above the highest before it;
    where that is negative: no more than so much below; where it is none: always. Of these the last
    is kept, or, by ``keep: nearest``, the one whose generations are the nearest to X_T: each in
    turn is kept if its ``kid_train`` is not above ``kid_kept``, the distance of the one kept before
    it to the same X_T.

    ``history`` are the cycles so far in order, cycle 0 first.
    """
    kept = risen = history[0]
    highest = admitted = _value(history[0], "phi_ref")
    least = settings.min_improvement
    for record in history[1:]:
        phi_ref, first = _value(record, "phi_ref"), math.isnan(highest)
        risen_now = first or phi_ref > highest + max(0.0, least or 0.0)
        # Small gains may add up over the cycles, small falls must not.
        against = admitted if least is not None and least >= 0 else highest
        if least is None or (not math.isnan(phi_ref) and (first or phi_ref > against + least)):
            nearer = not _value(record, "kid_train") > _value(record, "kid_kept")
            if settings.keep == "last" or nearer:
                kept = record
            admitted = phi_ref
        if math.isnan(phi_ref):
            continue
        if risen_now:
            risen = record
        highest = phi_ref if first else max(highest, phi_ref)
    last = history[-1]
    stale = last.cycle - risen.cycle
    known = f"cycle {kept.cycle} is kept, {_why(kept, settings)}"
    if last.cycle >= settings.max_cycles:
        stop = f"all {settings.max_cycles} cycles are done"
    elif last.pool_left <= 0:
        stop = "the pool has no image left to pick"
    elif settings.patience is not None and stale >= settings.patience:
        stop = f"φ_ref has not risen for {stale} {'cycle' if stale == 1 else 'cycles'}"
    else:
        return Decision(True, f"Cycle {last.cycle + 1} follows: {known}.", kept.cycle)
    return Decision(False, f"Stopped after cycle {last.cycle}: {stop}; {known}.", kept.cycle)


def _why(kept: CycleRecord, settings: ControllerSettings) -> str:
    if settings.min_improvement is not None:
        return f"with φ_ref {_value(kept, 'phi_ref'):.2f}"
    return "the nearest to X_T" if settings.keep == "nearest" else "the last"


def stopped_for_want_of_images(before: Decision, cycle: int) -> Decision:
    """What becomes of a decision to go on where the next cycle found nothing to add.

    Training again on an unchanged X_T would cost a cycle and select nothing new after it, either.
    """
    reason = (
        f"Stopped before cycle {cycle}: no image of the pool that is left passes the gates; cycle "
        f"{before.kept_cycle} is kept."
    )
    return replace(before, go_on=False, reason=reason)


def _value(record: CycleRecord, name: str) -> float:
    return record.metrics.get(name, math.nan)
