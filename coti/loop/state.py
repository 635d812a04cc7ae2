"""What Algorithm 1 carries from station to station."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from coti.loop.training_set import TrainingSet
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer

__all__ = ["LoopState"]


@dataclass(frozen=True)
class LoopState:
    """What this cycle has so far, and what the ones before left.

    A station reads it and returns what it makes. A step that runs apart fills in what its station
    reads; the rest is as before the first cycle.
    """

    training_set: TrainingSet
    """X_T."""
    cycle: int = 0
    head: AestheticHead | None = None
    """θ of this cycle (Eq. 7)."""
    first_head: AestheticHead | None = None
    """θ_0, for φ_ref."""
    concept: ConceptScorer | None = None
    """S_con against X_T (Eq. 8)."""
    seeds_concept: ConceptScorer | None = None
    """S_con against the seeds alone, for φ_ref."""
    columns: Mapping[str, torch.Tensor] | None = None
    """The pool's scores in the cycle before, of which what stays is not computed again."""
    gammas: tuple[float, float] = (0.0, 0.0)
    """γ_aes, γ_con of the last generations (Eq. 9, 10)."""
    kept: torch.Tensor | None = None
    """Features of what the embedding kept before this cycle generated."""
    generated: torch.Tensor | None = None
    """Features of what the last embedding generated, L2-normalised [m, d]."""

    @property
    def scorers(self) -> tuple[AestheticHead, ConceptScorer]:
        """Both scorers of this cycle."""
        assert self.head is not None, "the aesthetic scorer is fine-tuned first"
        assert self.concept is not None, "the concept scorer is fitted first"
        return self.head, self.concept

    @property
    def first_scorers(self) -> tuple[AestheticHead, ConceptScorer]:
        """Both scorers of φ_ref, the same in all cycles."""
        assert self.first_head is not None, "the aesthetic scorer is fine-tuned first"
        assert self.seeds_concept is not None, "the concept scorer is fitted first"
        return self.first_head, self.seeds_concept

    def with_head(self, head: AestheticHead) -> LoopState:
        """With this cycle's θ; the first one stays θ_0."""
        return replace(self, head=head, first_head=self.first_head or head)

    def with_concept(self, concept: ConceptScorer) -> LoopState:
        """With S_con against X_T; the first one is against the seeds alone."""
        return replace(self, concept=concept, seeds_concept=self.seeds_concept or concept)

    def next_cycle(
        self,
        gammas: tuple[float, float],
        kept: torch.Tensor | None,
        generated: torch.Tensor | None = None,
    ) -> LoopState:
        """After a cycle whose generations had these features and scored ``gammas``."""
        return replace(self, cycle=self.cycle + 1, gammas=gammas, kept=kept, generated=generated)
