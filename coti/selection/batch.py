"""The best of a score: gates, the B highest, near duplicates passed over."""

from __future__ import annotations

import torch

from coti.core.errors import ConfigError
from coti.settings import SelectionSettings

__all__ = ["apart", "eligible", "select_batch"]


def eligible(
    candidates: torch.Tensor,  # bool [n], images that may still be picked
    settings: SelectionSettings,
    s_aes: torch.Tensor,  # [n], 0 to 10
    s_con: torch.Tensor,  # [n], 0 to 10
) -> torch.Tensor:
    """Candidates that pass both gates: bool [n]. A gate of 0 lets everything pass, as the paper.

    Raises:
        ConfigError: a candidate's score that is not a number.
    """
    passed = candidates
    for column, gate, scores in (
        ("s_aes", settings.aesthetic_gate, s_aes),
        ("s_con", settings.concept_gate, s_con),
    ):
        if gate > 0:
            unknown = int((candidates & scores.isnan()).sum())
            if unknown:
                raise ConfigError(
                    f"{unknown} candidates have no number for {column}: their features are broken; "
                    "embed the pool again with a sound scorer."
                )
            passed = passed & (scores >= gate)
    return passed


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
