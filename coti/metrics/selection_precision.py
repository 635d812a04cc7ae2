"""How right a selection is, where a ground truth exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coti.core.errors import MetricError

__all__ = ["selection_precision"]


def selection_precision(selected: Sequence[str], ground_truth: Mapping[str, bool]) -> float:
    """Share of the selected images that the ground truth calls clean, 0 to 1; NaN for none.

    For measurement only: the ground truth lies outside the pool, and nothing that selects, trains
    or stops may read it.

    Raises:
        MetricError: a selected id that the ground truth does not know.
    """
    if not selected:
        return float("nan")
    unknown = [name for name in selected if name not in ground_truth]
    if unknown:
        raise MetricError(
            f"ground_truth must know every selected id, got {len(unknown)} that it does not know, "
            f"the first {unknown[0]!r}."
        )
    return sum(ground_truth[name] for name in selected) / len(selected)
