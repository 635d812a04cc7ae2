"""Which images a person is shown of a selection."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["SHOWN", "picked_and_refused", "refused_in", "sample_of_refused"]

SHOWN = 30
"""Most images of either kind."""


def refused_in(scores: pd.DataFrame, picked: pd.DataFrame) -> pd.DataFrame:
    """The rows of candidates that were not picked, best first."""
    return scores[scores["candidate"] & ~scores["id"].isin(picked["id"])]


def sample_of_refused(refused: pd.DataFrame) -> pd.DataFrame:
    """Up to :data:`SHOWN` rows at equal distances from the best to the worst: looks of all kinds.

    The best of the refused alone look like the picked; what the scores keep out is further down.
    """
    places = np.linspace(0, max(len(refused) - 1, 0), min(SHOWN, len(refused))).round().astype(int)
    return refused.iloc[places]


def picked_and_refused(
    scores: pd.DataFrame, picked: pd.DataFrame
) -> list[tuple[str, list[str], list[str]]]:
    """``picked`` and ``refused`` (a sample from best to worst) with ids and captions."""
    refused = sample_of_refused(refused_in(scores, picked))
    sheets = []
    for name, rows in (("picked", picked.head(SHOWN)), ("refused", refused)):
        if len(rows):
            captions = [
                f"{aes:.1f} / {con:.1f}"
                for aes, con in zip(rows["s_aes"], rows["s_con"], strict=True)
            ]
            sheets.append((name, [str(each) for each in rows["id"]], captions))
    return sheets
