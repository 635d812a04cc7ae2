"""Claims that are written down before a grid is run, and what its runs say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from coti.experiments.paired import Estimate, Pair, estimate, estimate_share, holm
from coti.experiments.regime_rows import RegimeRun, metric_of, values_of

__all__ = ["BEST_SIMPLE", "EVERY", "Claim", "Verdict", "best_simple", "judged"]

BEST_SIMPLE = "best simple row"
"""Of each regime: the simple row with the best mean, over the pairs that all of them have. It is
chosen by the very numbers that it is compared on, which favours it."""
EVERY = "mean over regimes"
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """What a row is said to be, against others."""

    says: str
    """In words, for the page."""
    kind: Literal["better", "not_worse", "better_on_mean", "gap"]
    """``better``: in each regime, by a two-sided test; ``not_worse``: in each regime a loss of
    ``margin`` or more is excluded, by a one-sided test; ``better_on_mean``: on the mean over
    regimes; ``gap``: ``row`` closes at least ``share`` of the way from the first of ``against`` to
    the second, on the mean over regimes. A gap is a target and not tested."""
    row: str
    against: tuple[str, ...]
    """Rows, or `BEST_SIMPLE`."""
    metrics: tuple[str, ...] = ("fd_ssl",)
    regimes: tuple[str, ...] = ()
    """None: all that are trained."""
    margin: float = 0.1
    share: float = 0.85

    def __post_init__(self) -> None:
        if self.kind == "gap" and len(self.against) != 2:
            raise ValueError(
                f"{self.says}: a gap is between two rows, from the worse to the better"
            )
        if self.kind in ("not_worse", "gap") and any(not is_ratio(m) for m in self.metrics):
            raise ValueError(f"{self.says}: {self.kind} is said of distances alone")


@dataclass(frozen=True)
class Verdict:
    """One test of a claim."""

    claim: Claim
    regime: str
    """Or `EVERY`."""
    against: str
    """The row; of `BEST_SIMPLE` the one that it was."""
    metric: str
    found: Estimate
    """How much better the row is: the log of a distance's ratio, or a difference; of a gap, the
    share that is closed."""
    p: float
    """Before correction; NaN where nothing can be tested yet, or nothing is tested."""
    corrected: float = math.nan

    @property
    def holds(self) -> bool | None:
        """None: not to be told from the runs that are there."""
        if self.claim.kind == "gap":
            value = self.found.value
            return None if math.isnan(value) else value >= self.claim.share
        if math.isnan(self.corrected):
            return None
        return self.corrected < LEVEL and self.found.value > self.null

    @property
    def null(self) -> float:
        """What the test is against: no difference, or the largest loss that is no loss."""
        return -math.log1p(self.claim.margin) if self.claim.kind == "not_worse" else 0.0


def is_ratio(metric: str) -> bool:
    """Whether two values are compared by their ratio: distances, which span decades."""
    return metric.removeprefix("xt_").startswith(("fd_", "fid"))


def gains(
    runs: Sequence[RegimeRun], regime: str, row: str, against: str, metric: str
) -> dict[Pair, float]:
    """By how much a row is better than another in a regime, by concept and seed.

    The natural logarithm of how many times smaller a distance is; the difference of anything else.
    """
    own, other = (values_of(runs, regime, name, metric) for name in (row, against))
    pairs = own.keys() & other.keys()
    if is_ratio(metric):
        return {p: math.log(other[p] / own[p]) for p in pairs if own[p] > 0 and other[p] > 0}
    sign = -1 if metric_of(metric).better == "lower" or metric.startswith("kid") else 1
    return {pair: sign * (own[pair] - other[pair]) for pair in pairs}


def best_simple(
    runs: Sequence[RegimeRun], regime: str, simple: Sequence[str], metric: str
) -> str | None:
    """The simple row that is best in a regime; none where no two have runs in common."""
    found = {row: values_of(runs, regime, row, metric) for row in simple}
    found = {row: values for row, values in found.items() if values}
    if not found:
        return None
    shared = set.intersection(*(set(values) for values in found.values()))
    if not shared:
        return None
    first, *others = found

    def behind(row: str) -> float:
        ahead = gains(runs, regime, first, row, metric)
        return estimate({pair: ahead[pair] for pair in shared if pair in ahead}).value

    return min((first, *others), key=behind)


def judged(
    claims: Sequence[Claim],
    runs: Sequence[RegimeRun],
    regimes: Sequence[str],  # that are trained in
    simple: Sequence[str],  # rows
) -> list[Verdict]:
    """All tests of all claims, corrected together after Holm (1979)."""
    found = [verdict for claim in claims for verdict in _verdicts(claim, runs, regimes, simple)]
    tested = [place for place, each in enumerate(found) if each.claim.kind != "gap"]
    for place, p in zip(tested, holm([found[i].p for i in tested]), strict=True):
        found[place] = replace(found[place], corrected=p)
    return found


def _verdicts(
    claim: Claim, runs: Sequence[RegimeRun], regimes: Sequence[str], simple: Sequence[str]
) -> list[Verdict]:
    places = claim.regimes or tuple(regimes)
    if claim.kind == "gap":
        return [_gap(claim, runs, places)]
    verdicts = []
    for metric in claim.metrics:
        for row in claim.against:
            named = {
                place: best_simple(runs, place, simple, metric) if row == BEST_SIMPLE else row
                for place in places
            }
            gained = {
                place: {} if other is None else gains(runs, place, claim.row, other, metric)
                for place, other in named.items()
            }
            if claim.kind == "better_on_mean":
                mean = estimate(_mean_over(list(gained.values())))
                verdicts.append(Verdict(claim, EVERY, row, metric, mean, mean.p()))
                continue
            for place in places:
                one = Verdict(
                    claim, place, named[place] or row, metric, estimate(gained[place]), math.nan
                )
                side: Literal["two", "greater"] = "two" if claim.kind == "better" else "greater"
                verdicts.append(replace(one, p=one.found.p(one.null, side)))
    return verdicts


def _gap(claim: Claim, runs: Sequence[RegimeRun], regimes: Sequence[str]) -> Verdict:
    metric, (floor, top) = claim.metrics[0], claim.against
    own, least, most = (
        _mean_over([values_of(runs, regime, row, metric) for regime in regimes])
        for row in (claim.row, floor, top)
    )
    shared = own.keys() & least.keys() & most.keys()
    found = estimate_share(
        {pair: least[pair] - own[pair] for pair in shared},
        {pair: least[pair] - most[pair] for pair in shared},
    )
    return Verdict(claim, EVERY, f"{floor} to {top}", metric, found, math.nan)


def _mean_over(regimes: Sequence[Mapping[Pair, float]]) -> dict[Pair, float]:
    """The mean over regimes of each pair that all of them have."""
    if not regimes:
        return {}
    pairs = set.intersection(*(set(values) for values in regimes))
    return {pair: sum(values[pair] for values in regimes) / len(regimes) for pair in pairs}
