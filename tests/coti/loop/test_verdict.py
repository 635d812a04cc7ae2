"""The gravest fact decides; a fact that is better never makes a verdict worse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coti.loop.verdict import EXIT_CODES, FACTS, verdict_of

VALUES = st.floats(0, 12, allow_nan=False)
ALL = st.dictionaries(st.sampled_from(sorted(FACTS)), VALUES)


@given(ALL)
def test_the_gravest_fact_decides(facts: dict[str, float]) -> None:
    """And each fact that speaks against the run has its sentence, with what to do."""
    verdict = verdict_of(facts)
    said = {name: FACTS[name].outcome(value) for name, value in facts.items()}
    assert verdict.exit_code == max((EXIT_CODES[each] for each in said.values()), default=0)
    assert len(verdict.reasons) == sum(each != "worked" for each in said.values())
    assert (verdict.outcome == "worked") == (not verdict.reasons)
    assert verdict.sentence.startswith(verdict.outcome)
    assert all(": " in reason and reason.endswith(".") for reason in verdict.reasons)
    assert verdict.row()["outcome"] == verdict.outcome


@given(ALL, st.sampled_from(sorted(FACTS)), VALUES)
def test_what_gets_better_makes_nothing_worse(
    facts: dict[str, float], name: str, value: float
) -> None:
    """Of a fact that is not known nothing is said."""
    fact = FACTS[name]
    old = facts.setdefault(name, value)
    better = min(old, value) if fact.high_is_bad else max(old, value)
    before = verdict_of(facts).exit_code
    assert verdict_of({**facts, name: better}).exit_code <= before
    facts.pop(name)
    assert verdict_of(facts).exit_code <= before
