"""Which images a person is shown of a selection, and why each was picked or not."""

from __future__ import annotations

from textwrap import fill

import numpy as np
import pandas as pd

from coti.selection.outcomes import OUTCOMES, outcome

__all__ = ["SHOWN", "by_kind", "sample", "sheets"]

SHOWN = 30
"""Most images of a kind."""
_LINE = 16
"""Characters that stand below an image of a sheet."""


def by_kind(scores: pd.DataFrame, picked: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each of ``OUTCOMES``, best first, with a column ``reason``.

    ``scores`` is the pool's table with ``candidate`` and ``held_back``, ``picked`` rows of it.
    """
    left = scores[scores["candidate"] & ~scores["id"].isin(picked["id"])]
    found = {}
    for kind in OUTCOMES:
        rows = picked if kind == "picked" else left
        told = [outcome(held, kind == "picked") for held in rows["held_back"]]
        reasons = rows.assign(reason=[reason for _, reason in told])
        # An empty list would be one of no columns.
        found[kind] = reasons[np.array([each == kind for each, _ in told], dtype=bool)]
    return found


def sample(rows: pd.DataFrame) -> pd.DataFrame:
    """Up to :data:`SHOWN` rows at equal distances from the best to the worst: looks of all kinds.

    The best alone look like the picked; what the scores keep out is further down.
    """
    places = np.linspace(0, max(len(rows) - 1, 0), min(SHOWN, len(rows))).round().astype(int)
    return rows.iloc[places]


def sheets(scores: pd.DataFrame, picked: pd.DataFrame) -> list[tuple[str, list[str], list[str]]]:
    """Of each of ``OUTCOMES`` that there is: its name, ids and captions, the best picked ones and
    a sample of the others."""
    found = []
    for kind, rows in by_kind(scores, picked).items():
        shown = rows.head(SHOWN) if kind == "picked" else sample(rows)
        if len(shown):
            parts = zip(shown["s_aes"], shown["s_con"], shown["reason"], strict=True)
            captions = [
                f"{aes:.1f} / {con:.1f}\n{fill(reason, _LINE)}" for aes, con, reason in parts
            ]
            found.append((kind, [str(each) for each in shown["id"]], captions))
    return found
