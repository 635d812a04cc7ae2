"""How right a selection is, where a ground truth exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coti.core.errors import MetricError

__all__ = ["selection_precision"]


def selection_precision(picked: Sequence[str], ground_truth: Mapping[str, bool]) -> float:
    """Share of the picked images that the ground truth calls right, 0 to 1; NaN for none picked.

    For measurement only: the ground truth lies outside the pool, and nothing that selects, trains
    or stops may read it.

    Raises:
        MetricError: a picked id that the ground truth does not know.
    """
    if not picked:
        return float("nan")
    unknown = [name for name in picked if name not in ground_truth]
    if unknown:
        raise MetricError(
            f"ground_truth must know every picked id, got {len(unknown)} that it does not know, "
            f"the first {unknown[0]!r}."
        )
    return sum(ground_truth[name] for name in picked) / len(picked)
