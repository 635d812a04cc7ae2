"""A benchmark pool's ground truth: for selection precision, and for the oracle."""

from __future__ import annotations

from pathlib import Path

from coti.core.errors import PoolError
from coti.core.shown_names import escaped
from coti.core.text_files import read_records

__all__ = ["read_ground_truth"]


def read_ground_truth(path: Path, concept: str) -> dict[str, bool]:
    """File name to whether the image is clean, from a CSV of file_name, class and degradation.

    Clean is what shows the concept, a ``class``, undegraded, a near duplicate of such a one, too.
    A name counts as the file is called, and as reports show it.

    Raises:
        PoolError: no such file, or other columns.
    """
    needed = ("file_name", "class", "degradation")
    rows = read_records(path, needed, "ground truth", PoolError)
    clean = {
        row.get("file_name", ""): row.get("class") == concept and not row.get("degradation")
        for _, row in rows
    }
    return clean | {escaped(name): value for name, value in clean.items()}
