"""Which pictures a person is shown of a selection."""

from __future__ import annotations

import pandas as pd

__all__ = ["SHOWN", "picked_and_refused"]

SHOWN = 30
"""Most pictures of either kind."""


def picked_and_refused(
    scores: pd.DataFrame, picked: pd.DataFrame
) -> list[tuple[str, list[str], list[str]]]:
    """``picked`` and ``refused`` (the best not picked) with ids and captions."""
    taken = scores["id"].isin(picked["id"])
    refused = scores[scores["candidate"] & ~taken].head(SHOWN)
    sheets = []
    for name, rows in (("picked", picked.head(SHOWN)), ("refused", refused)):
        if len(rows):
            captions = [
                f"{aes:.1f} / {con:.1f}"
                for aes, con in zip(rows["s_aes"], rows["s_con"], strict=True)
            ]
            sheets.append((name, [str(each) for each in rows["id"]], captions))
    return sheets
