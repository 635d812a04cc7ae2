"""How right a selection is, where a ground truth exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coti.core.errors import MetricError

__all__ = ["selection_precision"]


def selection_precision(picked: Sequence[str], ground_truth: Mapping[str, bool]) -> float:
    """Share of the picked images that the ground truth calls right, 0 to 1; NaN for none picked.

    For measurement only: the ground truth lies outside the pool, and nothing that selects, trains
    or stops may read it.

    Args:
        picked: ids of the picked images.
        ground_truth: id to whether it is a clean image of the concept; must know every picked id.

    Raises:
        MetricError: a picked id that the key does not know, or that was picked twice.
    """
    if not picked:
        return float("nan")
    unknown = [name for name in picked if name not in ground_truth]
    if unknown:
        raise MetricError(
            f"ground_truth must know every picked id, got {len(unknown)} that it does not know, "
            f"the first {unknown[0]!r}."
        )
    if len(set(picked)) < len(picked):
        raise MetricError("picked must name an image once, got one that is named twice.")
    return sum(ground_truth[name] for name in picked) / len(picked)
