"""The dynamic learning-rate schedule."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import TrainingError
from coti.inversion.schedule import Action, DynamicSchedule
from coti.settings import ScheduleSettings

RATES = (1e-2, 5e-3, 1e-3)
phis = st.lists(st.floats(0, 10), max_size=30)


def run(phi: list[float], **settings: float) -> tuple[list[Action], DynamicSchedule]:
    """Observe until the cycle ends."""
    how = ScheduleSettings(**{"dynamic": True, **settings})  # type: ignore[arg-type]
    schedule = DynamicSchedule(how, RATES)
    actions = []
    for value in phi:
        actions.append(schedule.observe(value))
        if actions[-1] is Action.END:
            break
    return actions, schedule


def test_rising_phi_keeps_the_first_rate() -> None:
    """While φ rises, training goes on at r_1 and X_T is not frozen."""
    actions, schedule = run([1.0, 2.0, 3.0])
    assert actions == [Action.CONTINUE] * 3
    assert schedule.learning_rate == RATES[0]
    assert not schedule.frozen


def test_each_fall_lowers_the_rate_and_the_last_ends() -> None:
    """φ fell: the next lower rate with X_T frozen; a fall at r_m ends the cycle and says why."""
    actions, schedule = run([5.0, 4.0, 3.0, 2.0, 1.0])
    assert actions == [Action.CONTINUE, Action.LOWER_RATE, Action.LOWER_RATE, Action.END]
    assert schedule.frozen
    assert schedule.reason == "φ fell from 3.00 to 2.00 at the lowest learning rate, 0.001."


def test_a_rise_after_a_fall_goes_on_at_the_lower_rate() -> None:
    """A rate never goes up again within a cycle, and a fall counts from the evaluation before."""
    actions, schedule = run([5.0, 4.0, 4.5, 4.4])
    assert actions == [Action.CONTINUE, Action.LOWER_RATE, Action.CONTINUE, Action.LOWER_RATE]
    assert schedule.stage == 2


def test_small_falls_are_noise() -> None:
    """A fall within the threshold is none."""
    assert run([5.0, 4.96, 4.92])[0] == [Action.CONTINUE] * 3


def test_high_plateau_ends() -> None:
    """Several evaluations on a high plateau end the cycle; on a low one they do not."""
    assert run([9.0, 9.02, 9.05, 9.0])[0][-1] is Action.END
    assert run([7.0, 7.02, 7.05, 7.0])[0] == [Action.CONTINUE] * 4


def test_a_slow_decline_is_a_fall_and_no_plateau() -> None:
    """Each step is within the threshold, all together are not."""
    actions, schedule = run([9.3, 9.26, 9.22], fall=0.05, plateau_width=0.1)
    assert actions == [Action.CONTINUE, Action.CONTINUE, Action.LOWER_RATE]
    assert schedule.stage == 1


@given(st.lists(st.floats(0, 0.04), min_size=6, max_size=12))
def test_what_only_declines_never_ends_on_a_plateau(steps: list[float]) -> None:
    """Unless it lies flatter than the threshold over the whole window."""
    values = [9.9 - sum(steps[: n + 1]) for n in range(len(steps))]
    actions, schedule = run(values, fall=0.05, plateau_width=0.1)
    if actions[-1] is Action.END and "stayed" in schedule.reason:
        window = values[: len(actions)][-3:]
        assert window[0] - window[-1] <= 0.05 + 1e-9


def test_after_a_fall_the_plateau_starts_anew() -> None:
    """A lowered rate gets at least one more interval: the plateau before it does not count."""
    actions, _ = run([9.0, 9.04, 8.98, 9.0], plateau_evaluations=2, plateau_width=0.1, fall=0.05)
    assert actions == [Action.CONTINUE, Action.END]
    actions, _ = run([9.5, 9.0, 9.0, 9.0], plateau_evaluations=2)
    assert actions == [Action.CONTINUE, Action.LOWER_RATE, Action.CONTINUE, Action.END]


def test_static_schedule_ignores_phi() -> None:
    """With dynamic off nothing happens, whatever φ does."""
    actions, schedule = run([9.0, 1.0, 9.0, 9.0, 9.0], dynamic=False)
    assert set(actions) == {Action.CONTINUE}
    assert schedule.stage == 0


@given(phis, st.integers(0, 30))
def test_resumes_from_json(values: list[float], cut: int) -> None:
    """Stopped anywhere, stored as JSON and gone on with, it acts as if never stopped."""
    whole, _ = run(values)
    first, stopped = run(values[:cut])
    resumed = DynamicSchedule(stopped.settings, RATES)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert resumed.state_dict() == stopped.state_dict()
    rest = [resumed.observe(value) for value in values[len(first) : len(whole)]]
    assert first + rest == whole


@given(phis)
def test_rates_only_fall(values: list[float]) -> None:
    """The stage never goes down or past r_m, and rises by one exactly on LOWER_RATE."""
    schedule = DynamicSchedule(ScheduleSettings(), RATES)
    for value in values:
        before = schedule.stage
        action = schedule.observe(value)
        assert schedule.stage - before == (action is Action.LOWER_RATE)
        assert schedule.stage < len(RATES)
        if action is Action.END:
            assert schedule.reason
            break


def test_refuses_other_rates_and_no_number() -> None:
    """A state of other rates is refused with both named, φ that is no number too."""
    schedule = DynamicSchedule(ScheduleSettings(), RATES)
    other = DynamicSchedule(ScheduleSettings(), RATES[:2])
    with pytest.raises(TrainingError, match=r"checkpoint's learning_rates are \[0.01, 0.005\]"):
        schedule.load_state_dict(other.state_dict())
    with pytest.raises(TrainingError, match=r"phi must lie in \[0, 10\], got nan"):
        schedule.observe(math.nan)
    with pytest.raises(TrainingError, match="at least one rate"):
        DynamicSchedule(ScheduleSettings(), [])
