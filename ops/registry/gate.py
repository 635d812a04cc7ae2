"""The gate between a challenger and the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coti.metrics.table import METRICS, is_better
from coti.settings import PromotionSettings

__all__ = [
    "COUNTS",
    "GATED",
    "SAME",
    "Verdict",
    "gate_values",
    "judge_promotion",
    "missing_metrics",
    "told_apart",
    "unlike",
]

COUNTS = ("generated", "references")
"""Of images, that a version was measured on."""
SAME = ("judge_hash", "references_hash", *COUNTS, "r_precision_candidates")
"""What must be equal for two embeddings' metrics to be comparable."""


GATED = ("fd_judge", "r_precision")
"""The judge's metrics that a champion is beaten on."""


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger becomes the champion, and why."""

    promoted: bool
    reason: str
    """A sentence for the user."""


def gate_values(
    row: Mapping[str, Any], references_fingerprint: str, judge_fingerprint: str
) -> dict[str, Any]:
    """What a version is registered with: all metrics of its cycle's row, and :data:`SAME`."""
    names = [name for name in (*METRICS, *SAME, "cycle") if row.get(name) is not None]
    return {name: row[name] for name in names} | {
        "references_hash": references_fingerprint,
        "judge_hash": judge_fingerprint,
    }


def missing_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """Labels of the metrics that the gate needs and that were not measured.

    >>> missing_metrics({"fd_judge": 0.5, "r_precision": None})
    ['R-precision']
    """
    return [METRICS[name].label for name in GATED if metrics.get(name) is None]


def unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Which of :data:`SAME` differ, so that the metrics cannot be compared."""
    return [name for name in SAME if str(first.get(name)) != str(second.get(name))]


def judge_promotion(
    challenger: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    settings: PromotionSettings,
) -> Verdict:
    """Promote only what both judge metrics call better than the present champion.

    Args:
        challenger: metrics of :data:`coti.metrics.table.METRICS` by name, None or absent where the
            run could not measure them, and what :data:`SAME` names.
        champion: the same of the present champion; none where there isn't one yet, then absolute
            floors hold.
        settings: margins, floors and the least number of images.
    """
    if missing := missing_metrics(challenger):
        return _refused(
            f"{' and '.join(missing)} could not be measured on {challenger.get('generated') or 0} "
            f"generations and {challenger.get('references') or 0} references: the gate needs as "
            "many of both as the judge has features (generation.cycle_images, references), and "
            "candidate captions (evaluation.captions). Without, a person answers for it: "
            "`coti registry promote … --accept-without-metrics --why …`."
        )
    for name in COUNTS:
        count = int(challenger.get(name) or 0)
        if count < settings.min_samples:
            return _refused(
                f"measured on {count} {name} images, at least {settings.min_samples} are needed "
                "(promotion.min_samples)."
            )
    if champion is not None:
        for name in GATED:
            if champion.get(name) is None:
                return _refused(
                    f"the champion has no {METRICS[name].label} to compare with: roll back to a "
                    "version that has, or promote with --accept-without-metrics."
                )
        for name in unlike(challenger, champion):
            return _refused(
                f"the champion was measured with another {name} ({champion.get(name)}, "
                f"now {challenger.get(name)}), so the metrics cannot be compared."
            )
    for name in GATED:
        value, bound = float(challenger[name]), _bound(name, champion, settings)
        if bound is None or value == bound or is_better(name, value, bound):
            continue
        metric = METRICS[name]
        most = "at most" if metric.better == "lower" else "at least"
        whose = "of a first champion" if champion is None else "the champion's with the margin"
        shown, limit = told_apart(value, bound)
        return _refused(f"its {metric.label} is {shown} and must be {most} {limit}, {whose}.")
    values = ", ".join(
        f"{METRICS[name].label} {float(challenger[name]):.4g}"
        + ("" if champion is None else f" against the champion's {float(champion[name]):.4g}")
        for name in GATED
    )
    first = " as the first champion" if champion is None else ""
    return Verdict(True, f"promoted{first}: {values}.")


def told_apart(value: float, bound: float) -> tuple[str, str]:
    """Two different numbers in as few digits as tell them apart, four at least.

    >>> told_apart(0.34, 0.2), told_apart(0.300049, 0.30001)
    (('0.34', '0.2'), ('0.30005', '0.30001'))
    """
    for digits in range(4, 18):
        shown = f"{value:.{digits}g}", f"{bound:.{digits}g}"
        if shown[0] != shown[1]:
            break
    return shown


def _refused(why: str) -> Verdict:
    return Verdict(False, f"not promoted: {why}")


def _bound(
    name: str, champion: Mapping[str, Any] | None, settings: PromotionSettings
) -> float | None:
    """The value that a gated metric must reach; none where anything will do."""
    if champion is None:
        return settings.fd_ceiling if name == "fd_judge" else settings.r_precision_floor
    before = float(champion[name])
    if name == "fd_judge":
        return before * (1 - settings.fd_margin)
    return before + settings.r_precision_margin
