"""What a data set's filter lets pass, at random: zero-shot class and looks (as DataComp's)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from coti.selection.batch import apart, eligible, score_gates
from coti.selection.protocol import PoolView
from coti.selection.top_scored import TopScored
from coti.settings import RunSettings, SelectionSettings

__all__ = ["Filtered"]

_LOOKS = 5.0
"""S_aes that is asked for where ``selection.aesthetic_gate`` is 0."""


class Filtered(TopScored):
    """Some ``baseline_images`` at once, or B a cycle, of those that pass for the concept.

    That is: the concept's words fit better than the name of any other thing, of
    ``concept_score.distractors`` or of a list of common things, and S_aes is at least
    ``aesthetic_gate``, or 5.
    """

    def label(self, settings: RunSettings) -> str:
        """How tables call it."""
        return "text and looks"

    def score(self, pool: PoolView) -> torch.Tensor:
        """Cosine to the words, less that to the best other name: above 0 it passes for it."""
        images = pool.features["pool"]
        own = images @ pool.texts("concept_text")[0]
        return own - (images @ pool.texts("other_texts").T).amax(dim=1)

    def gates(self, pool: PoolView) -> Mapping[str, torch.Tensor]:
        """Another thing's name, and looks."""
        named = pool.columns["score"] > 0
        return {
            "another name fits better": named,
            **score_gates(
                pool.candidates & named, _rules(pool), pool.columns["s_aes"], pool.columns["s_con"]
            ),
        }

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """Those that pass, in random order; fewer where fewer do."""
        twins = pool.settings.selection.suppress_duplicates
        places = eligible(pool.candidates, self.gates(pool)).nonzero().squeeze(1)
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
        places = places[order]
        if twins:
            return apart(places, pool.wanted, pool.features["pool"], twins)
        return places[: pool.wanted]


def _rules(pool: PoolView) -> SelectionSettings:
    """With the gate for looks that holds, and without that of S_con."""
    rules = pool.settings.selection
    return replace(rules, aesthetic_gate=rules.aesthetic_gate or _LOOKS, concept_gate=0.0)
