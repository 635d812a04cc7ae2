"""What a person is shown of a selection."""

from __future__ import annotations

import pandas as pd

from ops.tracking.selection_samples import SHOWN, picked_and_refused, refused_in, sample_of_refused


def _scores(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in range(count)],
            "candidate": [i != 1 for i in range(count)],
            "s_aes": 5.0,
            "s_con": 5.0,
        }
    )


def test_refused_goes_from_the_best_to_the_worst() -> None:
    """Neither what was picked nor what is in X_T already; the first and the last are there."""
    scores = _scores(200)
    refused = refused_in(scores, scores.head(3))
    assert list(refused["id"])[:2] == ["p003", "p004"]
    shown = list(sample_of_refused(refused)["id"])
    assert len(shown) == SHOWN
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == ("p003", "p199")


def test_few_or_none_are_shown_whole() -> None:
    """No image twice, no empty sheet."""
    scores = _scores(5)
    sheets = {name: ids for name, ids, _ in picked_and_refused(scores, scores.head(3))}
    assert sheets == {"picked": ["p000", "p001", "p002"], "refused": ["p003", "p004"]}
    assert [name for name, _, _ in picked_and_refused(scores, scores)] == ["picked"]
