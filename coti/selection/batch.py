"""Which pool images a cycle adds to X_T."""

from __future__ import annotations

import torch

from coti.core.errors import ConfigError
from coti.settings import SelectionSettings, Strategy

__all__ = ["eligible", "select", "select_batch"]


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
        ConfigError: a gate without its scores.
    """
    for name, gate, scores in (
        ("aesthetic_gate", settings.aesthetic_gate, s_aes),
        ("concept_gate", settings.concept_gate, s_con),
    ):
        if gate > 0:
            if scores is None:
                raise ConfigError(
                    f"selection.{name} is {gate} but its scores were not given: give "
                    f"{'s_aes' if name == 'aesthetic_gate' else 's_con'}, or set it to 0."
                )
            candidates = candidates & (scores >= gate)
    return candidates


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


def select(
    strategy: Strategy,
    settings: SelectionSettings,
    candidates: torch.Tensor,
    *,
    seed: int,
    s_int: torch.Tensor | None = None,
    s_aes: torch.Tensor | None = None,
    s_con: torch.Tensor | None = None,
    features: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pick this cycle's images by strategy; indices into the pool, best first, int64 [m].

    ``coti`` takes the best B by S_int that pass the gates, or with ``spread`` some B of the best
    ``spread``·B; ``random`` B at random (TI (RAND)); ``full`` all candidates at once (TI (FULL));
    ``seeds`` none.

    Args:
        strategy: how X_T grows.
        settings: B, gates, spread and duplicate suppression.
        candidates: bool [n], images that were not picked yet.
        seed: of ``random`` and of ``spread``; vary it by cycle.
        s_int: [n], for ``coti``.
        s_aes: [n], for ``coti`` with an aesthetic gate.
        s_con: [n], for ``coti`` with a concept gate.
        features: [n, d], L2-normalised, for ``coti`` with duplicate suppression.

    Raises:
        ConfigError: scores or features that the settings need were not given.
    """
    if strategy == "seeds":
        return torch.empty(0, dtype=torch.int64)
    if strategy == "full":
        return candidates.nonzero().squeeze(1)
    generator = torch.Generator().manual_seed(seed)
    if strategy == "random":
        places = candidates.nonzero().squeeze(1)
        return places[torch.randperm(len(places), generator=generator)[: settings.batch]]
    if s_int is None:
        raise ConfigError("strategy coti needs s_int, got none.")
    best = select_batch(
        s_int,
        eligible(candidates, settings, s_aes, s_con),
        round(settings.spread * settings.batch),
        features=features,
        suppress_duplicates=settings.suppress_duplicates if settings.spread == 1 else 0.0,
    )
    if settings.spread == 1:
        return best
    drawn = torch.randperm(len(best), generator=generator)
    if settings.suppress_duplicates:
        # Of the batch alone: twins among the best spread·B, of which it is drawn, are no harm.
        kept: list[int] = []
        rows = _rows(features, len(s_int))[best]
        _keep_apart(kept, drawn, settings.batch, rows, settings.suppress_duplicates)
        drawn = torch.tensor(kept, dtype=torch.int64)
    return best[drawn[: settings.batch].sort().values]
