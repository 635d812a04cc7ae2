"""Between cycles: go on or stop, and which cycle is the best so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coti.core.errors import ConfigError
from coti.settings import ControllerSettings

__all__ = ["CycleRecord", "Decision", "decide"]


@dataclass(frozen=True)
class CycleRecord:
    """One cycle in numbers; the fields in this order are the columns of ``cycles.csv``."""

    cycle: int
    """0 is the cycle that trains on the seeds alone."""
    pool_left: int
    """Candidates that are left after this cycle's selection."""
    picked: int
    """Images this cycle added."""
    train_size: int
    """|X_T| in this cycle, seeds included."""
    gamma_aes: float
    """Mean S_aes of the cycle's generations (Eq. 9), 0 to 10."""
    gamma_con: float
    """Mean S_con of the cycle's generations (Eq. 10), 0 to 10."""
    phi: float
    """Eq. 12 of these two; not comparable across cycles, its scorers are refitted."""
    phi_ref: float
    """Eq. 12 with θ_0 and S_con against the seeds only; comparable across cycles."""
    lr_stage: int
    """Stage of the schedule at the end of the cycle; 1 is r_1."""
    fd_judge: float = math.nan
    """Fréchet distance to the held-out references on the judge's features."""
    kid: float = math.nan
    kid_low: float = math.nan
    kid_high: float = math.nan
    """KID on the judge's features and its 95 % interval."""
    r_precision: float = math.nan
    """Share of generations whose nearest caption is the concept's, 0 to 1."""
    r_precision_candidates: int = 0
    """Number of captions r_precision chose among."""
    selection_precision: float = math.nan
    """Share of the images picked up to here that the ground truth calls right, 0 to 1."""
    seconds: float = math.nan
    kid_train: float = math.nan
    """KID of X_TI to X_T on the scorer's features
    (:func:`coti.scores.scoring.distance_to_training`): lower is nearer, in kind and variety."""
    kid_kept: float = math.nan
    """The same of what the word drew that was kept before, against this cycle's X_T, so that the
    two can be compared; not a number in cycle 0."""


@dataclass(frozen=True)
class Decision:
    """What the controller decided after a cycle."""

    go_on: bool
    reason: str
    """A sentence for the user."""
    best_cycle: int
    """The cycle whose embedding is kept."""


def decide(
    history: Sequence[CycleRecord], settings: ControllerSettings, pool_left: int
) -> Decision:
    """Decide from the record alone, so that a re-run decides the same.

    Stops when N cycles after cycle 0 are done, when the pool is exhausted, or when φ_ref has not
    improved for ``patience`` cycles. φ_ref improves by being more than ``min_improvement`` above
    that of the last cycle that improved it; where ``min_improvement`` is negative, by lying less
    than that below the highest so far. φ_ref that is not a number never improves.

    Of the cycles that improved φ_ref the last is kept, or, by ``keep: kid_train``, the one whose
    drawings are the nearest to X_T: each in turn is kept if its ``kid_train`` is not above
    ``kid_kept``, the distance of the one kept before it to the same X_T.

    Args:
        history: the cycles so far in order, cycle 0 first.
        settings: N, patience, the least improvement, and what is kept.
        pool_left: images that could still be picked.

    Raises:
        ConfigError: there is no cycle yet.
    """
    if not history:
        raise ConfigError("history must hold at least cycle 0, got no cycle.")
    first, last, highest = history[0], history[-1], history[0].phi_ref
    improved, kept = first, first
    for record in history[1:]:
        if math.isnan(record.phi_ref):
            continue
        # Small gains may add up over the cycles, small falls must not.
        against = highest if settings.min_improvement < 0 else improved.phi_ref
        if math.isnan(highest) or record.phi_ref > against + settings.min_improvement:
            improved = record
            if settings.keep == "phi_ref" or not record.kid_train > record.kid_kept:
                kept = record
        highest = record.phi_ref if math.isnan(highest) else max(highest, record.phi_ref)
    known = f"cycle {kept.cycle} is kept, with φ_ref {kept.phi_ref:.2f}"
    stale = last.cycle - improved.cycle
    if last.cycle >= settings.max_cycles:
        stop = f"all {settings.max_cycles} cycles are done"
    elif pool_left <= 0:
        stop = "the pool has no image left to pick"
    elif stale >= settings.patience:
        stop = f"φ_ref has not improved for {stale} {'cycle' if stale == 1 else 'cycles'}"
    else:
        return Decision(True, f"Cycle {last.cycle + 1} follows: {known}.", kept.cycle)
    return Decision(False, f"Stopped after cycle {last.cycle}: {stop}; {known}.", kept.cycle)
