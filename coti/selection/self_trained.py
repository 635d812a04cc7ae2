"""Our own: what seeds, name and looks accept once the pool itself has taught them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from coti.core.errors import ConfigError
from coti.scores.self_training import self_trained, unreached
from coti.selection.batch import eligible, score_gates
from coti.selection.protocol import PoolView
from coti.selection.top_scored import TopScored
from coti.settings import RunSettings

__all__ = ["SelfTrained"]

_DOUBTFUL = 1.5
"""Times the accepted images of which the best are taken where more are wanted."""
_REACHED = 0.1
"""Chance of an image that the generations reach, beside 1 of one that they don't."""


class SelfTrained(TopScored):
    """Some of the accepted images, ``baseline_images`` at once or B a cycle; fewer of a poor pool.

    Accepted is what is rather right than wrong, with an S_aes of at least ``aesthetic_gate``. All
    of it is equally good; which images are taken is a draw, so that X_T is as varied as the
    concept. Once there are generations, an image that these don't reach is ten times as likely to
    be drawn.
    """

    growths = ("cycles", "at_once")
    fixed = False

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "COTI"

    def score(self, pool: PoolView) -> torch.Tensor:
        """How surely it shows the concept and looks good; 0 and more is accepted."""
        text = pool.texts("concept_text")[0]
        features, s_aes = pool.features, pool.columns["s_aes"]
        unknown = int((s_aes.isnan() | features["pool"].isnan().any(dim=1)).sum())
        if unknown:
            raise ConfigError(
                f"{unknown} images have no number for S_aes or in their features: embed the pool "
                "again with a sound scorer."
            )
        return self_trained(features["pool"], features["seeds"], text, s_aes).float()

    def gates(self, pool: PoolView) -> Mapping[str, torch.Tensor]:
        """To be rather the concept than not, and looks."""
        # The score has a part of S_con.
        rules = replace(pool.settings.selection, concept_gate=0.0)
        return {
            "rather something else": _near(pool),
            **score_gates(pool.candidates, rules, pool.columns["s_aes"], pool.columns["s_con"]),
        }

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Accepted images, drawn, best first."""
        score, count = pool.columns["score"], pool.wanted
        places = eligible(pool.candidates, self.gates(pool)).nonzero().squeeze(1)
        chance = torch.ones(len(places), dtype=torch.float64)
        if pool.generated is not None:
            chance[~unreached(pool.features["pool"][places], pool.generated)] = _REACHED
        drawn = places[_without_replacement(chance, count, seed)]
        return drawn[score[drawn].argsort(descending=True, stable=True)]


def _near(pool: PoolView) -> torch.Tensor:
    """What is rather right than wrong, and doubtful ones where more are wanted: bool [n]."""
    score, unavailable = pool.columns["score"], ~pool.candidates
    if pool.dropped is not None:  # as if the pool had none of them
        score = score.masked_fill(pool.dropped, float("-inf"))
        unavailable = unavailable & ~pool.dropped
    right = int((score >= 0).sum())
    # In cycles, too, it is X_T as a whole that may take the doubtful ones.
    asked = int(unavailable.sum()) + pool.wanted
    reach = max(right, min(round(_DOUBTFUL * right), asked))
    return score >= score.sort(descending=True).values[:reach].amin() if reach else score > 0


def _without_replacement(chance: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Up to ``count`` places of chances [n] above 0 (Efraimidis and Spirakis 2006): int64 [m]."""
    uniform = torch.rand(
        len(chance), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    keys = uniform.clamp(min=1e-300).log() / chance.clamp(min=1e-12)
    return keys.topk(min(count, len(keys))).indices
