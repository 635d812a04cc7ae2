"""Stop or go on, and which cycle is best."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from coti.loop.controller import Decision, decide, stopped_for_want_of_images
from coti.loop.record import CycleRecord
from coti.metrics.table import known
from coti.settings import ControllerSettings


def history(*phi_ref: float, pool_left: int = 100) -> list[CycleRecord]:
    """Cycles that differ by φ_ref alone."""
    return [
        CycleRecord(
            cycle=cycle,
            pool_left=pool_left,
            picked=0,
            train_size=10,
            lr_stage=1,
            image_steps=0,
            seconds=1.0,
            metrics={} if math.isnan(value) else {"phi_ref": value},
        )
        for cycle, value in enumerate(phi_ref)
    ]


def test_goes_on_while_it_improves() -> None:
    """Better and better: go on, the last is the best."""
    decision = decide(history(1, 2, 3), ControllerSettings(patience=2, min_improvement=-1.0))
    assert decision == Decision(
        True, "Cycle 3 follows: cycle 2 is kept, with φ_ref 3.00.", kept_cycle=2
    )


def test_stops_at_n() -> None:
    """After N cycles beside cycle 0 it stops and says so; the best is kept, not the last."""
    decision = decide(history(1, 3, 2), ControllerSettings(max_cycles=2, min_improvement=0.0))
    assert not decision.go_on
    assert decision.reason == (
        "Stopped after cycle 2: all 2 cycles are done; cycle 1 is kept, with φ_ref 3.00."
    )
    assert decision.kept_cycle == 1


@given(st.lists(st.floats(0, 10) | st.just(math.nan), min_size=1, max_size=6))
def test_by_default_phi_ref_has_no_say(values: list[float]) -> None:
    """Whatever it does, all cycles are done and the nearest is kept."""
    decision = decide(history(*values), ControllerSettings(max_cycles=5))
    assert (decision.go_on, decision.kept_cycle) == (len(values) < 6, len(values) - 1)
    assert f"cycle {len(values) - 1} is kept, the nearest to X_T." in decision.reason
    last = decide(history(*values), ControllerSettings(max_cycles=5, keep="last"))
    assert last.reason == decision.reason.replace("the nearest to X_T", "the last")


def test_stops_without_a_pool() -> None:
    """An exhausted pool stops the run."""
    decision = decide(history(1, pool_left=0), ControllerSettings())
    assert not decision.go_on
    assert "the pool has no image left to pick" in decision.reason


def test_stops_for_patience() -> None:
    """``patience`` cycles without a better φ_ref stop the run."""
    settings = ControllerSettings(max_cycles=9, patience=2, min_improvement=0.0)
    assert decide(history(3, 2), settings).go_on
    decision = decide(history(3, 2, 3), settings)
    assert not decision.go_on
    assert "φ_ref has not risen for 2 cycles" in decision.reason
    assert decision.kept_cycle == 0


def test_least_improvement() -> None:
    """A φ_ref counts as better only from the least improvement above the best."""
    settings = ControllerSettings(max_cycles=9, patience=9, min_improvement=0.5)
    assert decide(history(3, 3.4, 3.6), settings).kept_cycle == 2
    assert decide(history(3, 3.4, 3.5), settings).kept_cycle == 0


def test_not_a_number_never_wins() -> None:
    """A cycle whose φ_ref is not a number is never the best where another is."""
    assert (
        decide(
            history(math.nan, 1.0, math.nan), ControllerSettings(min_improvement=-1.0)
        ).kept_cycle
        == 1
    )


def test_a_later_cycle_is_kept_unless_it_fell_too_far() -> None:
    """Below 0, falls don't add up: the measure is the highest φ_ref so far."""
    settings = ControllerSettings(max_cycles=9, patience=9, min_improvement=-1.0)
    assert decide(history(9, 8.5), settings).kept_cycle == 1
    assert decide(history(9, 8.5, 7.9), settings).kept_cycle == 1
    assert decide(history(9, 7, math.nan, 8.1), settings).kept_cycle == 3


def near(*kids: tuple[float, float], phi_ref: tuple[float, ...] = ()) -> list[CycleRecord]:
    """Cycles of these distances to X_T, theirs and the kept one's; φ_ref 5 unless given."""
    cycles = history(*(phi_ref or [5.0] * len(kids)))
    return [
        replace(cycle, metrics={**cycle.metrics, **known({"kid_train": own, "kid_kept": kept})})
        for cycle, (own, kept) in zip(cycles, kids, strict=True)
    ]


NEAREST = ControllerSettings(max_cycles=9, patience=2, min_improvement=-1.0)


def test_the_nearest_to_the_training_images_is_kept() -> None:
    """Each in turn against the one kept before it, on the same images; of equals the later."""
    first, better, worse, equal = (-0.1, math.nan), (0.2, 0.3), (0.4, 0.1), (0.2, 0.2)
    assert decide(near(first), NEAREST).kept_cycle == 0
    assert decide(near(first, better), NEAREST).kept_cycle == 1
    assert decide(near(first, better, worse), NEAREST).kept_cycle == 1
    assert decide(near(first, better, worse, equal), NEAREST).kept_cycle == 3


def test_the_paper_keeps_by_phi_ref_whatever_is_near() -> None:
    """``keep: last``: the last cycle that counts as better."""
    settings = replace(NEAREST, keep="last")
    assert decide(near((0.1, math.nan), (0.9, 0.1)), settings).kept_cycle == 1


def test_a_near_cycle_whose_scores_fell_is_not_kept() -> None:
    """φ_ref guards: an embedding that generates another thing may be near to a bad selection."""
    cycles = near((0.5, math.nan), (0.1, 0.5), phi_ref=(9.0, 7.9))
    assert decide(cycles, NEAREST).kept_cycle == 0


def test_patience_counts_phi_ref_alone() -> None:
    """Two cycles farther away than the first end nothing while φ_ref holds."""
    cycles = near((0.1, math.nan), (0.3, 0.1), (0.3, 0.1), phi_ref=(5.0, 5.1, 5.2))
    decision = decide(cycles, NEAREST)
    assert decision.go_on
    assert decision.kept_cycle == 0


def test_an_unknown_distance_does_not_hold_a_cycle_back() -> None:
    """As in a record of an earlier version: the last that counts as better."""
    assert decide(history(5, 5), NEAREST).kept_cycle == 1


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.lists(st.floats(0, 1), min_size=9, max_size=9),
)
def test_no_kept_cycle_was_farther_than_the_one_it_replaced(
    own: list[float], others: list[float]
) -> None:
    """Replayed cycle by cycle, the kept one changes to the newest alone, if that is nearer."""
    cycles = near(*zip(own, others, strict=False))
    settings = replace(NEAREST, max_cycles=20, patience=20)
    kept = [decide(cycles[: n + 1], settings).kept_cycle for n in range(len(cycles))]
    for number in range(1, len(cycles)):
        nearer = own[number] <= others[number]
        assert kept[number] == (number if nearer else kept[number - 1])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=9))
def test_best_is_the_first_maximum(values: list[float]) -> None:
    """With no least improvement the best is the earliest of the highest φ_ref."""
    settings = ControllerSettings(max_cycles=20, patience=20, min_improvement=0.0)
    decision = decide(history(*values), settings)
    assert decision.kept_cycle == values.index(max(values))


@given(st.lists(st.floats(0, 10), min_size=3, max_size=9), st.floats(-3, 0))
def test_patience_bites_whatever_may_be_kept(values: list[float], tolerance: float) -> None:
    """How far φ_ref may fall for a cycle to be kept does not change when the run stops."""
    settings = ControllerSettings(max_cycles=99, patience=2, min_improvement=tolerance)
    stale = len(values) - 1 - values.index(max(values))
    assert decide(history(*values), settings).go_on == (stale < 2)


def test_nothing_to_add_takes_a_decision_back() -> None:
    """The best cycle stays; the sentence says what was missing."""
    decision = stopped_for_want_of_images(Decision(True, "", 2), 4)
    assert (decision.go_on, decision.kept_cycle) == (False, 2)
    assert "Stopped before cycle 4: no image of the pool that is left passes" in decision.reason
