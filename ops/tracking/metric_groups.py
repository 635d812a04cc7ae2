"""Metrics in MLflow by groups, which its pages show under headings of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

__all__ = ["in_group", "of_cycle"]

Value = TypeVar("Value")


def in_group(
    group: Literal["cycle", "best", "train"], values: Mapping[str, Value]
) -> dict[str, Value]:
    """The values by their names in MLflow.

    Args:
        group: ``cycle``, a step a cycle; ``best``, of the kept embedding; ``train``, a step an
            optimizer step.
        values: by their own names.

    >>> in_group("cycle", {"phi": 9.0})
    {'cycle/phi': 9.0}
    """
    return {f"{group}/{name}": value for name, value in values.items()}


def of_cycle(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """The metrics of a cycle's run by their own names; what is in no group is of an old release.

    >>> of_cycle({"cycle/phi": 9.0, "train/phi": 8.0})
    {'phi': 9.0}
    """
    names = {name: name.removeprefix("cycle/") for name in metrics}
    return {own: metrics[name] for name, own in names.items() if "/" not in own}
