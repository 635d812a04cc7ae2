"""The best of a score: gates, the B highest, near duplicates passed over."""

from __future__ import annotations

import torch

from coti.core.errors import ConfigError
from coti.settings import SelectionSettings

__all__ = ["apart", "eligible", "select_batch"]


def eligible(
    candidates: torch.Tensor,
    settings: SelectionSettings,
    s_aes: torch.Tensor | None = None,
    s_con: torch.Tensor | None = None,
) -> torch.Tensor:
    """Candidates that pass both gates: bool [n]. A gate of 0 lets everything pass, as the paper.

    Args:
        candidates: bool [n], images that may still be picked.
        settings: the gates.
        s_aes: [n], 0 to 10; needed where ``aesthetic_gate`` is not 0.
        s_con: [n], 0 to 10; needed where ``concept_gate`` is not 0.

    Raises:
        ConfigError: a gate without its scores, or a candidate's score that is not a number.
    """
    passed = candidates
    for name, column, gate, scores in (
        ("aesthetic_gate", "s_aes", settings.aesthetic_gate, s_aes),
        ("concept_gate", "s_con", settings.concept_gate, s_con),
    ):
        if gate > 0:
            if scores is None:
                raise ConfigError(
                    f"selection.{name} is {gate} but its scores were not given: give "
                    f"{column}, or set it to 0."
                )
            unknown = int((candidates & scores.isnan()).sum())
            if unknown:
                raise ConfigError(
                    f"{unknown} candidates have no number for {column}: their features are broken; "
                    "embed the pool again with a sound scorer."
                )
            passed = passed & (scores >= gate)
    return passed


def select_batch(
    scores: torch.Tensor,
    candidates: torch.Tensor,
    batch: int,
    *,
    features: torch.Tensor | None = None,
    suppress_duplicates: float = 0.0,
) -> torch.Tensor:
    """Take the candidates of the highest score, best first; of equals the first in the pool.

    Args:
        scores: [n], S_int (Eq. 11) or another score.
        candidates: bool [n], images that may be picked.
        batch: B, most images to take.
        features: float [n, d], L2-normalised; needed for ``suppress_duplicates`` alone.
        suppress_duplicates: an image whose cosine to a better one of the same batch is above
            this is passed over; 0: off.

    Returns:
        Indices into the pool, int64 [m], m ≤ B; fewer where fewer are eligible.

    Raises:
        ConfigError: shapes that do not fit, or a score that is not a number.
    """
    if scores.ndim != 1 or candidates.shape != scores.shape:
        raise ConfigError(
            "scores and candidates must be one-dimensional and of one length, got "
            f"{list(scores.shape)} and {list(candidates.shape)}."
        )
    places = candidates.nonzero().squeeze(1)
    values = scores[places]
    if torch.isnan(values).any():
        raise ConfigError(f"scores must be numbers, got {int(torch.isnan(values).sum())} NaN.")
    if not suppress_duplicates:
        return places[_best_first(values, batch)]
    return _without_duplicates(
        values, places, batch, _rows(features, len(scores)), suppress_duplicates
    )


def _rows(features: torch.Tensor | None, count: int) -> torch.Tensor:
    """The features, if they are those of the pool."""
    if features is None or len(features) != count:
        got = "none" if features is None else list(features.shape)
        raise ConfigError(
            f"features must hold a row for each of the {count} scores to suppress "
            f"duplicates, got {got}."
        )
    return features


def _best_first(values: torch.Tensor, count: int) -> torch.Tensor:
    """Positions of the ``count`` highest values, best first, equals in order."""
    count = min(count, len(values))
    if count == 0:
        return torch.empty(0, dtype=torch.int64)
    # Partial selection first: sorting millions of values to take thirty would be the cycle's cost.
    least = values.topk(count).values[-1]
    found = (values >= least).nonzero().squeeze(1)
    order = values[found].argsort(descending=True, stable=True)
    return found[order][:count]


def _without_duplicates(
    values: torch.Tensor,
    places: torch.Tensor,
    batch: int,
    features: torch.Tensor,
    threshold: float,
) -> torch.Tensor:
    kept: list[int] = []
    looked_at = 0
    reach = 2 * batch
    while len(kept) < batch and looked_at < len(places):
        ranked = places[_best_first(values, reach)]
        _keep_apart(kept, ranked[looked_at:], batch, features, threshold)
        looked_at, reach = len(ranked), 2 * reach
    return torch.tensor(kept, dtype=torch.int64)


def _keep_apart(
    kept: list[int], places: torch.Tensor, batch: int, features: torch.Tensor, threshold: float
) -> None:
    """Add places in their order to ``kept``, up to a batch, but none too near to one in it."""
    for place in places.tolist():
        if len(kept) == batch:
            return
        if not kept or float((features[kept] @ features[place]).max()) <= threshold:
            kept.append(place)


def apart(
    places: torch.Tensor, batch: int, features: torch.Tensor, threshold: float
) -> torch.Tensor:
    """Up to ``batch`` of the places in their order, none too near to one before it.

    Args:
        places: int64 [m], rows of ``features``.
        batch: most places to keep.
        features: float [n, d], L2-normalised.
        threshold: cosine above which two count as the same.
    """
    kept: list[int] = []
    _keep_apart(kept, places, batch, features, threshold)
    return torch.tensor(kept, dtype=torch.int64)
