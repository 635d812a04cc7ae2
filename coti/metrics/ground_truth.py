"""A benchmark pool's ground truth: for selection precision, and for the oracle."""

from __future__ import annotations

import csv
from pathlib import Path

from coti.core.errors import PoolError

__all__ = ["read_ground_truth"]


def read_ground_truth(path: Path, concept: str) -> dict[str, bool]:
    """File name to whether the image is right, from a CSV of file_name, class and degradation.

    Right is what shows the concept, a ``class``, undegraded, a near duplicate of such a one, too.

    Raises:
        PoolError: no such file, or other columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"ground truth {path}: cannot be read: {error}") from error
    needed = {"file_name", "class", "degradation"}
    if not rows or not needed <= set(rows[0]):
        raise PoolError(f"ground truth {path}: must have the columns {', '.join(sorted(needed))}.")
    return {row["file_name"]: row["class"] == concept and not row["degradation"] for row in rows}
