"""What a person is shown of a selection."""

from __future__ import annotations

import pandas as pd

from ops.tracking.selection_samples import SHOWN, by_kind, sample, sheets


def _scores(count: int, passed: int) -> pd.DataFrame:
    """Best first; the second is in X_T already, and what is behind ``passed`` does not pass."""
    return pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in range(count)],
            "candidate": [i != 1 for i in range(count)],
            "held_back": ["" if i < passed else "S_aes below 6" for i in range(count)],
            "s_aes": 5.0,
            "s_con": 5.0,
        }
    )


def test_what_was_merely_not_drawn_is_not_held_back() -> None:
    """Every candidate is of one kind and says why; the best that is left passed, it is told."""
    scores = _scores(200, 150)
    kinds = by_kind(scores, scores.iloc[[0, 3]])
    assert [len(rows) for rows in kinds.values()] == [2, 147, 50]
    assert list(kinds["not_drawn"]["id"])[:2] == ["p002", "p004"]
    assert set(kinds["not_drawn"]["reason"]) == {"passed, not drawn"}
    assert set(kinds["held_back"]["reason"]) == {"S_aes below 6"}
    shown = list(sample(kinds["not_drawn"])["id"])
    assert len(shown) == SHOWN
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == ("p002", "p149")


def test_few_or_none_are_shown_whole() -> None:
    """No image twice, no empty sheet; the reason stands below the scores."""
    scores = _scores(5, 4)
    found = {name: (ids, said[0]) for name, ids, said in sheets(scores, scores.head(3))}
    assert found == {
        "picked": (["p000", "p001", "p002"], "5.0 / 5.0\npicked"),
        "not_drawn": (["p003"], "5.0 / 5.0\npassed, not\ndrawn"),
        "held_back": (["p004"], "5.0 / 5.0\nS_aes below 6"),
    }
    assert [name for name, _, _ in sheets(scores, scores)] == ["picked"]
    # Of the whole pool, or of nothing, each kind still has the table's columns.
    for kinds in (by_kind(scores, scores), by_kind(scores, scores.head(0))):
        assert all(list(rows.columns) == [*scores.columns, "reason"] for rows in kinds.values())
