"""COTI's own selection: the best B by S_int (Eq. 11) that pass the gates."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coti.selection.batch import among_the_best, apart, eligible, score_gates, select_batch
from coti.selection.protocol import PoolView
from coti.settings import RunSettings

__all__ = ["Intelligent"]


class Intelligent:
    """The best B by S_int, as the paper, or with ``spread`` some B of the best ``spread``·B."""

    growths = ("cycles",)
    selects = True
    fixed = False
    sees_ground_truth = False

    def __init__(self, name: str = "coti") -> None:
        """``name``: the strategy's."""
        self.name = name

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "COTI, S_int"

    def least_images(self, settings: RunSettings) -> int:
        """A batch."""
        return settings.selection.batch

    def score(self, pool: PoolView) -> torch.Tensor:
        """S_int."""
        return pool.columns["s_int"]

    def gates(self, pool: PoolView) -> Mapping[str, torch.Tensor]:
        """Both scores' own, and to be of the best B, or of the best ``spread``·B."""
        rules, columns = pool.settings.selection, pool.columns
        scores = score_gates(pool.candidates, rules, columns["s_aes"], columns["s_con"])
        # Where B are drawn from more, the draw decides which of near duplicates is left out.
        twins = rules.suppress_duplicates if rules.spread == 1 else 0.0
        return scores | among_the_best(
            columns["score"],
            eligible(pool.candidates, scores),
            round(rules.spread * pool.wanted),
            features=pool.features["pool"] if twins else None,
            suppress_duplicates=twins,
        )

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """The best B, or B drawn at random from the best ``spread``·B."""
        rules, count = pool.settings.selection, pool.wanted
        passed = eligible(pool.candidates, self.gates(pool))
        best = select_batch(pool.columns["score"], passed, round(rules.spread * count))
        if rules.spread == 1:
            return best
        order = torch.randperm(len(best), generator=torch.Generator().manual_seed(seed))
        if rules.suppress_duplicates:
            # Of the batch alone: twins among the best spread·B, of which it is drawn, are no harm.
            order = apart(order, count, pool.features["pool"][best], rules.suppress_duplicates)
        return best[order[:count].sort().values]
