"""Whether a run worked, from facts that need no ground truth: worked, doubtful or failed, and why.

Nothing that steers reads it. The thresholds were measured on good and on planted bad runs of the
bundled world (docs/decisions/21).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["EXIT_CODES", "FACTS", "Fact", "Outcome", "Verdict", "verdict_of"]

Outcome = Literal["worked", "doubtful", "failed"]

EXIT_CODES: dict[Outcome, int] = {"worked": 0, "doubtful": 4, "failed": 5}
"""Of a command whose run ended so, best first."""


@dataclass(frozen=True)
class Fact:
    """A number that speaks against a run where it is beyond a threshold."""

    name: str
    about: str
    says: str
    """What it says against the run; ``{value}`` is the number."""
    remedy: str
    doubtful: float | None = None
    """The run is doubtful beyond it."""
    failed: float | None = None
    """The run failed beyond it."""
    high_is_bad: bool = False
    """Whether beyond is above."""

    def outcome(self, value: float) -> Outcome:
        """What the number says; a threshold itself is within."""
        if self._beyond(value, self.failed):
            return "failed"
        return "doubtful" if self._beyond(value, self.doubtful) else "worked"

    def _beyond(self, value: float, bound: float | None) -> bool:
        if bound is None:
            return False
        return value > bound if self.high_is_bad else value < bound

    def sentence(self, value: float) -> str:
        """What it says against the run, and the remedy."""
        return f"{self.says.format(value=value)}: {self.remedy}."


@dataclass(frozen=True)
class Verdict:
    """What the facts say of a run."""

    outcome: Outcome
    reasons: tuple[str, ...]
    """A sentence for each fact that speaks against the run, the gravest first."""
    facts: dict[str, float]
    """By name; what is not known is not there."""

    @property
    def sentence(self) -> str:
        """One line: the outcome, and why."""
        if not self.reasons:
            return f"{self.outcome}: nothing of {len(self.facts)} facts speaks against it."
        return f"{self.outcome}, because {' Also: '.join(self.reasons)}"

    @property
    def exit_code(self) -> int:
        """Of a command whose run ended so."""
        return EXIT_CODES[self.outcome]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Verdict:
        """The verdict of a :meth:`row`."""
        return cls(row["outcome"], tuple(row["reasons"]), dict(row["facts"]))

    def row(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "reasons": list(self.reasons)}


_ROWS = (
    Fact(
        "seeds", "seed images",
        "there are only {value:.0f} seeds",
        "what varies between images of the concept cannot be told from so few; give three or more",
        doubtful=3,
    ),
    Fact(
        "accepted_share", "images of the pool that are accepted, for each that the run wants",
        "for each image that the run wants the pool has {value:.2f} that are rather right",
        "take a larger pool, other keywords, or fewer images (selection.batch)",
        doubtful=1.0, failed=0.1,
    ),
    Fact(
        "accepted_like_seeds",
        "how like the seeds the accepted images are: 0 as the rejected ones, 1 as seeds each other",
        "what the pool has most of is hardly more like the seeds ({value:.2f} of 1) than the rest",
        "the pool may show something else, or the scorer cannot tell: look at the picks, choose "
        "another pool or another scorer",
        doubtful=0.7, failed=0.5,
    ),
    Fact(
        "seeds_unlike", "share of the seeds that are unlike all accepted images",
        "{value:.0%} of the seeds are unlike everything that the pool and the name agree on",
        "look at the seeds and at the concept's name: do they show one thing",
        doubtful=0.25, failed=0.6, high_is_bad=True,
    ),
    Fact(
        "seeds_given_back",
        "share of pairs in which a seed is more like what the base model's autoencoder gives back "
        "than a pool image is like its nearest seed",
        "the base model's autoencoder does not give your images back ({value:.2f} of 1)",
        "no embedding can be better than that; take a base model that was trained on such images",
        doubtful=0.6, failed=0.4,
    ),
    Fact(
        "generated_like_training",
        "share of pairs in which a generation is more like X_T than an image that was not picked",
        "in only {value:.1%} of pairs is a generation more like its training images than an image "
        "that was not picked",
        "more steps, another learning rate, or another base model",
        doubtful=0.6, failed=0.4,
    ),
    Fact(
        "looks_apart",
        "how well brightness, contrast, colour or detail alone tells the generations from X_T: 0 "
        "not at all, 1 always",
        "brightness, contrast, colour or detail alone tells the generations from their training "
        "images ({value:.2f} of 1)",
        "look at them: the base model may not be made for such images, or training broke",
        doubtful=0.6, failed=0.8, high_is_bad=True,
    ),
    Fact(
        "variety", "spread of the generations over that of X_T: 0 where all are one image",
        "the generations are nearly one image ({value:.2f} of the variety of X_T)",
        "fewer steps, a lower learning rate, less guidance",
        doubtful=0.3, failed=0.1,
    ),
    Fact(
        "memorised", "share of generations nearer to a training image than any two of these are",
        "{value:.0%} of the generations are nearly training images",
        "more images, fewer steps or fewer vectors",
        doubtful=0.3, high_is_bad=True,
    ),
)  # fmt: skip

FACTS: dict[str, Fact] = {fact.name: fact for fact in _ROWS}
"""By name, in the order in which they become known."""


def verdict_of(facts: Mapping[str, float]) -> Verdict:
    """The gravest that a fact says; what is not in :data:`FACTS` is kept and says nothing.

    >>> verdict_of({"seeds": 10, "variety": 0.02}).outcome
    'failed'
    """
    said = {name: FACTS[name].outcome(facts[name]) for name in FACTS if name in facts}
    against = [name for name, outcome in said.items() if outcome != "worked"]
    against.sort(key=lambda name: -EXIT_CODES[said[name]])
    outcome = said[against[0]] if against else "worked"
    reasons = tuple(FACTS[name].sentence(facts[name]) for name in against)
    return Verdict(outcome, reasons, dict(facts))
