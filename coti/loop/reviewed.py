"""What people decided of the images (:mod:`coti.selection.decisions`), as a run obeys it.

Dropped images never enter X_T, kept ones before all others, ratings join those that S_aes is
fine-tuned on, captions stand in place of the pool's. The stations ask here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from coti.core.errors import ConfigError
from coti.loop.inputs import Reviewed
from coti.selection import PoolView, Strategy
from coti.selection.batch import select_batch
from coti.selection.decisions import Review

__all__ = [
    "HELD_BACK",
    "gates_of",
    "marked",
    "pick",
    "ratings_of",
    "reviewed_images",
    "used_seeds",
]

T = TypeVar("T")

HELD_BACK = "held back by review"
"""The reason of a dropped image, beside those of the strategies' gates."""
_DIGITS = 20
"""Of an image's sha256 that its id begins with."""


def reviewed_images(
    review: Review,
    pool_ids: Sequence[str],  # of the accepted images
    seed_ids: Sequence[str],
    pool: str,  # as the user named it, for the error
    place: str,  # of the review, likewise
) -> Reviewed:
    """A review of these images; what it says of others does not count.

    Raises:
        ConfigError: it names none of the pool's.
    """
    verdicts = _by_id(review.verdicts, pool_ids)
    ratings, captions = ratings_of(review, pool_ids), _by_id(review.captions, pool_ids)
    if not (verdicts or ratings or captions):
        raise ConfigError(
            f"selection.review: {place} names no image that can be used of the pool "
            f"{pool or 'that was given'}: give the review of a set of this pool, or leave it out."
        )
    return Reviewed(
        kept=frozenset(name for name, said in verdicts.items() if said == "keep"),
        dropped=frozenset(name for name, said in verdicts.items() if said == "drop"),
        ratings=ratings | ratings_of(review, seed_ids),
        captions=captions,
    )


def ratings_of(review: Review, ids: Sequence[str]) -> dict[str, float]:
    """Ratings, 0 to 10, of those of these images that have one, by their ids."""
    return _by_id(review.ratings, ids)


def used_seeds(review: Review | None, seed_ids: Sequence[str]) -> list[int]:
    """Places of the seeds that are not dropped.

    Raises:
        ConfigError: fewer than two are left of more.
    """
    if review is None:
        return list(range(len(seed_ids)))
    dropped = {name for name, said in _by_id(review.verdicts, seed_ids).items() if said == "drop"}
    left = [place for place, name in enumerate(seed_ids) if name not in dropped]
    if dropped and len(left) < 2:
        raise ConfigError(
            f"selection.review: the review drops {len(dropped)} of the {len(seed_ids)} seeds, and "
            "at least 2 are needed: give other seeds, or keep some of them."
        )
    return left


def _by_id(said: Mapping[str, T], ids: Iterable[str]) -> dict[str, T]:
    """What is said of images by their sha256, by their ids.

    >>> _by_id({64 * "a": 1}, [20 * "a", 20 * "a" + "-2", "b"])
    {'aaaaaaaaaaaaaaaaaaaa': 1, 'aaaaaaaaaaaaaaaaaaaa-2': 1}
    """
    known = {name[:_DIGITS]: value for name, value in said.items()}
    found = ((name, name.partition("-")[0]) for name in ids)
    return {name: known[base] for name, base in found if base in known}


def marked(pool: PoolView, reviewed: Reviewed | None) -> PoolView:
    """The pool with what a review says of its images, dropped ones no candidates."""
    if reviewed is None:
        return pool
    kept, dropped = (
        torch.tensor([name in said for name in pool.features.strings("pool_ids")], dtype=torch.bool)
        for said in (reviewed.kept, reviewed.dropped)
    )
    return replace(pool, kept=kept, dropped=dropped, candidates=pool.candidates & ~dropped)


def pick(strategy: Strategy, pool: PoolView, seed: int) -> torch.Tensor:
    """What joins X_T: kept images, the best first, then the strategy's own; int64 [m], places in
    the pool.

    Kept ones are a part of what the selection is to add; of more than that the best by the
    strategy's score join, and the others in a later cycle, if there is one.
    """
    first, rest = _kept_first(pool)
    return torch.cat([first, strategy.pick(rest, seed)])


def gates_of(strategy: Strategy, pool: PoolView) -> Mapping[str, torch.Tensor]:
    """The strategy's gates, and the review before them: bool [n] each."""
    _, rest = _kept_first(pool)
    gates = strategy.gates(rest)
    return gates if pool.dropped is None else {HELD_BACK: ~pool.dropped, **gates}


def _kept_first(pool: PoolView) -> tuple[torch.Tensor, PoolView]:
    """The kept images that join, and the pool as it is left to the strategy."""
    if pool.kept is None or not pool.kept.any():
        return torch.empty(0, dtype=torch.int64), pool
    first = select_batch(pool.columns["score"], pool.candidates & pool.kept, pool.wanted)
    left = pool.candidates.clone()
    left[first] = False
    return first, replace(pool, candidates=left, taken=len(first))
