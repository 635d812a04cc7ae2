"""The gate between a challenger and the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coti.settings import PromotionSettings

__all__ = ["SAME", "Verdict", "judge_promotion", "unlike"]

SAME = ("judge_hash", "references_hash", "generated", "references", "r_precision_candidates")
"""What must be equal for two embeddings' metrics to be comparable."""


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger becomes the champion, and why."""

    promoted: bool
    reason: str
    """A sentence for the user."""


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
        challenger: ``fd``, ``r_precision`` and what :data:`SAME` names; ``fd`` None where the run
            had no references.
        champion: the same of the present champion; none where there isn't one yet, then absolute
            floors hold.
        settings: margins, floors and the least number of images.
    """
    distance, precision = challenger.get("fd"), challenger.get("r_precision")
    if distance is None or precision is None:
        return Verdict(False, "not promoted: the run has no held-out references to be judged on.")
    for name in ("generated", "references"):
        count = int(challenger[name])
        if count < settings.min_samples:
            return Verdict(
                False,
                f"not promoted: measured on {count} {name} images, at least "
                f"{settings.min_samples} are needed (promotion.min_samples).",
            )
    if champion is None:
        return _first_champion(float(distance), float(precision), settings)
    if different := unlike(challenger, champion):
        name = different[0]
        return Verdict(
            False,
            f"not promoted: the champion was measured with another {name} "
            f"({champion.get(name)}, now {challenger.get(name)}), so the metrics cannot be "
            "compared.",
        )
    least = float(champion["fd"]) * (1 - settings.fd_margin)
    most = float(champion["r_precision"]) + settings.r_precision_margin
    if distance > least:
        return Verdict(
            False,
            f"not promoted: its Fréchet distance {distance:.4g} is not below {least:.4g}, the "
            f"champion's {float(champion['fd']):.4g} less the margin.",
        )
    if precision < most:
        return Verdict(
            False,
            f"not promoted: its R-precision {precision:.3f} is below {most:.3f}, the champion's "
            f"{float(champion['r_precision']):.3f} plus the margin.",
        )
    return Verdict(
        True,
        f"promoted: Fréchet distance {distance:.4g} against the champion's "
        f"{float(champion['fd']):.4g}, R-precision {precision:.3f} against "
        f"{float(champion['r_precision']):.3f}.",
    )


def _first_champion(distance: float, precision: float, settings: PromotionSettings) -> Verdict:
    if settings.fd_ceiling is not None and distance > settings.fd_ceiling:
        return Verdict(
            False,
            f"not promoted: a first champion's Fréchet distance must be at most "
            f"{settings.fd_ceiling:.4g}, it is {distance:.4g}.",
        )
    if precision < settings.r_precision_floor:
        return Verdict(
            False,
            f"not promoted: a first champion's R-precision must be at least "
            f"{settings.r_precision_floor:.3f}, it is {precision:.3f}.",
        )
    return Verdict(
        True,
        f"promoted as the first champion: Fréchet distance {distance:.4g}, R-precision "
        f"{precision:.3f}.",
    )
