"""The best of a score: gates, the B highest, near duplicates passed over."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coti.core.errors import ConfigError
from coti.settings import SelectionSettings

__all__ = ["among_the_best", "apart", "eligible", "score_gates", "select_batch"]


def score_gates(
    candidates: torch.Tensor,  # bool [n], images that may still be picked
    settings: SelectionSettings,
    s_aes: torch.Tensor,  # [n], 0 to 10
    s_con: torch.Tensor,  # [n], 0 to 10
) -> dict[str, torch.Tensor]:
    """Both gates where they are above 0, as :meth:`coti.selection.protocol.Strategy.gates`.

    A gate of 0 lets everything pass, as the paper.

    Raises:
        ConfigError: a candidate's score that is not a number.

    >>> ones = torch.ones(1, dtype=torch.bool)
    >>> score_gates(ones, SelectionSettings(), torch.tensor([1.0]), torch.tensor([6.5]))
    {'S_con below 5': tensor([True])}
    """
    gates = {}
    for name, gate, scores in (
        ("S_con", settings.concept_gate, s_con),
        ("S_aes", settings.aesthetic_gate, s_aes),
    ):
        if gate <= 0:
            continue
        unknown = int((candidates & scores.isnan()).sum())
        if unknown:
            raise ConfigError(
                f"{unknown} candidates have no number for {name.lower()}: their features are "
                "broken; embed the pool again with a sound scorer."
            )
        gates[f"{name} below {gate:g}"] = scores >= gate
    return gates


def eligible(
    candidates: torch.Tensor,  # bool [n], images that may still be picked
    gates: Mapping[str, torch.Tensor],  # bool [n] each, what passes
) -> torch.Tensor:
    """Candidates that pass every gate: bool [n]."""
    for passed in gates.values():
        candidates = candidates & passed
    return candidates


def among_the_best(
    scores: torch.Tensor,  # [n]
    candidates: torch.Tensor,  # bool [n], images that may be picked
    count: int,  # how many are the best
    *,
    features: torch.Tensor | None = None,  # [n, d], L2-normalised; for suppress_duplicates alone
    suppress_duplicates: float = 0.0,
) -> dict[str, torch.Tensor]:
    """The gates of a strategy that takes the best, or draws from them: :func:`select_batch`'s."""
    best = select_batch(
        scores, candidates, count, features=features, suppress_duplicates=suppress_duplicates
    )
    passed = torch.zeros_like(candidates)
    passed[best] = True
    gates = {f"not of the best {count:,}": passed}
    if suppress_duplicates and features is not None:
        like = (features @ features[best].T > suppress_duplicates).any(dim=1)
        gates = {"like a picked one": passed | ~like, **gates}
    return gates


def select_batch(
    scores: torch.Tensor,  # [n], S_int (Eq. 11) or another score
    candidates: torch.Tensor,  # bool [n], images that may be picked
    batch: int,  # B, most images to take
    *,
    features: torch.Tensor | None = None,  # [n, d], L2-normalised; for suppress_duplicates alone
    suppress_duplicates: float = 0.0,
) -> torch.Tensor:
    """Take the candidates of the highest score, best first; of equals the first in the pool.

    An image whose cosine to a better one of the same batch is above ``suppress_duplicates`` is
    passed over; 0: off.

    Returns:
        Indices into the pool, int64 [m], m ≤ B; fewer where fewer are eligible.

    Raises:
        ConfigError: a score that is not a number.
    """
    places = candidates.nonzero().squeeze(1)
    values = scores[places]
    if values.isnan().any():
        raise ConfigError(f"scores must be numbers, got {int(values.isnan().sum())} NaN.")
    if suppress_duplicates and features is not None:
        ranked = places[values.argsort(descending=True, stable=True)]
        return apart(ranked, batch, features, suppress_duplicates)
    count = min(batch, len(values))
    if count == 0:
        return places[:0]
    # Partial selection first: sorting a million values to take thirty takes nine times as long.
    least = values.topk(count).values[-1]
    found = (values >= least).nonzero().squeeze(1)
    order = values[found].argsort(descending=True, stable=True)
    return places[found[order][:count]]


def apart(
    places: torch.Tensor,  # int64 [m], rows of features
    batch: int,
    features: torch.Tensor,  # [n, d], L2-normalised
    threshold: float,
) -> torch.Tensor:
    """Up to ``batch`` of the places in their order, none with a cosine above ``threshold`` to one
    before it."""
    kept: list[int] = []
    for place in places.tolist():
        if len(kept) == batch:
            break
        if not kept or float((features[kept] @ features[place]).max()) <= threshold:
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)
