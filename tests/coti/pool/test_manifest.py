from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.pool.manifest import COLUMNS, check_sums, counts, diff, manifest_hash, to_frame
from coti.pool.reasons import REASONS

ROW = st.fixed_dictionaries(
    {
        "sha256": st.sampled_from(["aa", "bb", "cc"]),
        "caption": st.sampled_from(["", "boot", "ブーツ", "=cmd()"]),
        "verdict": st.sampled_from(["", *list(REASONS)[:3]]),
    }
)
POOL = st.dictionaries(st.text(min_size=1, max_size=5), ROW, max_size=8)


def manifest(pool: dict[str, dict[str, str]]) -> pd.DataFrame:
    """The manifest of a pool given as name -> row."""
    return to_frame(
        [
            {
                "id": f"{number:04d}",
                "source": name,
                "status": "quarantined" if row["verdict"] else "accepted",
                "reason": row["verdict"],
                **{key: row[key] for key in ("sha256", "caption")},
            }
            for number, (name, row) in enumerate(sorted(pool.items()))
        ]
    )


@settings(deadline=None)
@given(POOL)
def test_accepted_and_quarantined_add_up(pool: dict[str, dict[str, str]]) -> None:
    """For any pool the two states add up to the rows, and the reasons to the quarantined."""
    table = manifest(pool)
    assert list(table.columns) == list(COLUMNS)
    check_sums(table, len(pool))
    number = counts(table)
    assert number["accepted"] + number["quarantined"] == len(pool)
    assert sum(list(number.values())[2:]) == number["quarantined"]


@settings(deadline=None)
@given(POOL, POOL)
def test_differences_account_for_every_name(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> None:
    """Added and removed are the set differences, swapped when the versions are, and a pool does
    not differ from itself.
    """
    old, new = manifest(before), manifest(after)
    there, back = diff(old, new), diff(new, old)
    assert set(there.added) == set(after) - set(before) == set(back.removed)
    assert set(there.removed) == set(before) - set(after) == set(back.added)
    assert there.changed == back.changed
    assert there.recaptioned == back.recaptioned
    assert {name for name, _, _ in there.judged} == {name for name, _, _ in back.judged}
    assert diff(old, old).same
    touched = {*there.changed, *there.recaptioned, *(name for name, _, _ in there.judged)}
    assert touched == {n for n in before if n in after and before[n] != after[n]}
    assert there.same == (before == after)


@settings(deadline=None)
@given(POOL, POOL)
def test_the_version_is_the_content(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> None:
    """Two manifests have the same hash exactly if they say the same."""
    assert (manifest_hash(manifest(before)) == manifest_hash(manifest(after))) == (before == after)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": "no such code"}, "reason does not fit"),
        ({"reason": ""}, "reason does not fit"),
        ({"status": "lost"}, "rows were lost"),
        ({"id": "0000"}, "same id"),
    ],
)
def test_unsound_manifests_are_refused(change: dict[str, str], said: str) -> None:
    """A row without a state, with an unknown reason, or with another's id stops the run."""
    table = manifest(
        {
            "a": {"sha256": "x", "caption": "", "verdict": ""},
            "b": {"sha256": "y", "caption": "", "verdict": "bad_row"},
        }
    )
    for column, value in change.items():
        table.loc[1, column] = value
    with pytest.raises(PoolError, match=said):
        check_sums(table, 2)


def test_a_lost_row_is_noticed() -> None:
    """Fewer rows than inputs stop the run."""
    with pytest.raises(PoolError, match="3 inputs, but 0 accepted"):
        check_sums(manifest({}), 3)


def test_every_reason_is_documented() -> None:
    """The page on pools lists each code with its meaning."""
    page = (Path(__file__).parents[3] / "docs" / "pools.md").read_text("utf-8")
    for code, meaning in REASONS.items():
        assert f"| `{code}` | {meaning} |" in page, code
