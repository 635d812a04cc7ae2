"""Which pool pictures a cycle adds to X_T."""

from __future__ import annotations

import torch

from coti.errors import ConfigError
from coti.settings import SelectionSettings, Strategy

__all__ = ["eligible", "select", "select_batch"]


def eligible(candidates: torch.Tensor, s_con: torch.Tensor, concept_gate: float) -> torch.Tensor:
    """Candidates that pass the concept gate: bool [n].

    Args:
        candidates: bool [n], pictures that may still be picked.
        s_con: [n], concept scores, 0 to 10.
        concept_gate: least S_con; 0 lets everything pass, as in the paper.
    """
    return candidates & (s_con >= concept_gate)


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
        candidates: bool [n], pictures that may be picked.
        batch: B, most pictures to take.
        features: float [n, d], L2-normalised; needed for ``suppress_duplicates`` alone.
        suppress_duplicates: a picture whose cosine to a better one of the same batch is above
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
    if features is None or len(features) != len(scores):
        got = "none" if features is None else list(features.shape)
        raise ConfigError(
            f"features must hold a row for each of the {len(scores)} scores to suppress "
            f"duplicates, got {got}."
        )
    return _without_duplicates(values, places, batch, features, suppress_duplicates)


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
        for place in ranked[looked_at:].tolist():
            if len(kept) == batch:
                break
            if not kept or float((features[kept] @ features[place]).max()) <= threshold:
                kept.append(place)
        looked_at, reach = len(ranked), 2 * reach
    return torch.tensor(kept, dtype=torch.int64)


def select(
    strategy: Strategy,
    settings: SelectionSettings,
    candidates: torch.Tensor,
    *,
    seed: int,
    s_int: torch.Tensor | None = None,
    s_con: torch.Tensor | None = None,
    features: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pick this cycle's pictures by strategy; indices into the pool, best first, int64 [m].

    ``coti`` takes the best B by S_int that pass the concept gate; ``random`` B at random (TI
    (RAND)); ``full`` all candidates at once (TI (FULL)); ``seeds`` none.

    Args:
        strategy: how X_T grows.
        settings: B, gate and duplicate suppression.
        candidates: bool [n], pictures that were not picked yet.
        seed: of ``random``; vary it by cycle.
        s_int: [n], for ``coti``.
        s_con: [n], for ``coti`` with a gate.
        features: [n, d], L2-normalised, for ``coti`` with duplicate suppression.
    """
    if strategy == "seeds":
        return torch.empty(0, dtype=torch.int64)
    if strategy == "full":
        return candidates.nonzero().squeeze(1)
    if strategy == "random":
        places = candidates.nonzero().squeeze(1)
        generator = torch.Generator().manual_seed(seed)
        return places[torch.randperm(len(places), generator=generator)[: settings.batch]]
    if s_int is None:
        raise ConfigError("strategy coti needs s_int, got none.")
    if settings.concept_gate > 0:
        if s_con is None:
            raise ConfigError("selection.concept_gate needs s_con, got none: give it, or set 0.")
        candidates = eligible(candidates, s_con, settings.concept_gate)
    return select_batch(
        s_int,
        candidates,
        settings.batch,
        features=features,
        suppress_duplicates=settings.suppress_duplicates,
    )
