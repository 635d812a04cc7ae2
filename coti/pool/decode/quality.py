"""Quality signals, measured and judged by cleanvision's definitions.

The raw measurements are taken in the decoding workers; scores and flags are made from them here,
a column at a time, with the library's own formulas and thresholds. A score is in [0, 1], low is
bad, as cleanvision has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FLAGS", "SCORES", "quality_columns", "raw_signals"]

FLAGS = ("blurry", "dark", "light", "low_information")
"""Flags an image can get; an odd aspect is an expectation of its own."""

SCORES = tuple(f"{flag}_score" for flag in FLAGS)
"""Columns of the scores, in [0, 1], low is bad."""


def raw_signals(image: Image.Image) -> dict[str, float]:
    """Raw measurements of an RGB image: brightness percentiles, entropy, edge variance."""
    from cleanvision.issue_managers import image_property as measure

    signals: dict[str, Any] = {
        **measure.BrightnessProperty("dark").calculate(image),
        **measure.EntropyProperty().calculate(image),
        **measure.BlurrinessProperty().calculate(image),
    }
    return {name: float(value) for name, value in signals.items()}


def quality_columns(signals: list[dict[str, float] | None]) -> dict[str, list[Any]]:
    """Columns ``<flag>_score`` (None without an image) and ``quality`` (flags, comma-separated).

    Scores and thresholds are cleanvision's defaults. They were made for photographs, so the flags
    steer nothing unless ``pool_rules.reject_quality`` says so.
    """
    import pandas as pd
    from cleanvision.issue_managers import image_property as measure
    from cleanvision.issue_managers.image_property_issue_manager import (
        ImagePropertyIssueManager,
    )

    rows = [i for i, signal in enumerate(signals) if signal]
    columns: dict[str, list[Any]] = {score: [None] * len(signals) for score in SCORES}
    flags: list[list[str]] = [[] for _ in signals]
    if rows:
        raw = pd.DataFrame([signals[i] for i in rows])
        defaults = ImagePropertyIssueManager.get_default_params(None)  # type: ignore[arg-type]
        kinds: dict[str, Any] = {
            "blurry": measure.BlurrinessProperty(),
            "dark": measure.BrightnessProperty("dark"),
            "light": measure.BrightnessProperty("light"),
            "low_information": measure.EntropyProperty(),
        }
        for flag, kind in kinds.items():
            params = dict(defaults[flag])
            threshold = params.pop("threshold")
            scores = kind.get_scores(raw_scores=raw, issue_type=flag, **params)
            for row, value in zip(rows, scores.iloc[:, 0], strict=True):
                columns[f"{flag}_score"][row] = float(value)
                if value < threshold:
                    flags[row].append(flag)
    columns["quality"] = [",".join(names) for names in flags]
    return columns
