"""How right a selection is, where an answer key exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coti.core.errors import MetricError

__all__ = ["selection_precision"]


def selection_precision(picked: Sequence[str], truth: Mapping[str, bool]) -> float:
    """Share of the picked pictures that the answer key calls right, 0 to 1; NaN for none picked.

    For measurement only: the answer key lies outside the pool, and nothing that selects, trains
    or stops may read it.

    Args:
        picked: ids of the picked pictures.
        truth: id to whether it is a clean picture of the concept; must know every picked id.

    Raises:
        MetricError: a picked id that the key does not know, or that was picked twice.
    """
    if not picked:
        return float("nan")
    unknown = [name for name in picked if name not in truth]
    if unknown:
        raise MetricError(
            f"truth must know every picked id, got {len(unknown)} that it does not know, the "
            f"first {unknown[0]!r}."
        )
    if len(set(picked)) < len(picked):
        raise MetricError("picked must name a picture once, got one that is named twice.")
    return sum(truth[name] for name in picked) / len(picked)
