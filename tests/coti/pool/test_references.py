"""The two halves of the references: by content alone, together everything, none in both."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.pool.references import half_of, read_references


def write(folder: Path, count: int, first: str = "") -> Path:
    """Grey images, each of another value."""
    folder.mkdir()
    for value in range(count):
        Image.new("RGB", (4, 4), (9 * value,) * 3).save(folder / f"{first}{value:02d}.png")
    return folder


def test_the_halves_are_by_content(tmp_path: Path) -> None:
    """Every image is in one of them, the same one whatever it is called."""
    folder = write(tmp_path / "named", 20)
    halves = [read_references(folder, 4, Fit(), half) for half in ("development", "tables")]
    grey = [set(half[:, 0, 0, 0].tolist()) for half in halves]
    assert min(map(len, grey)) > 4
    assert grey[0] | grey[1] == set(read_references(folder, 4, Fit())[:, 0, 0, 0].tolist())
    assert not grey[0] & grey[1]
    other = read_references(write(tmp_path / "renamed", 20, "x"), 4, Fit(), "tables")
    torch.testing.assert_close(other, halves[1])


def test_an_empty_half_is_an_error(tmp_path: Path) -> None:
    """It names the folder and the setting."""
    folder = write(tmp_path / "one", 1)
    there = half_of(hashlib.sha256((folder / "00.png").read_bytes()).hexdigest())
    other = "tables" if there == "development" else "development"
    assert len(read_references(folder, 4, Fit(), there)) == 1
    with pytest.raises(PoolError, match=r"set evaluation\.references_half to all"):
        read_references(folder, 4, Fit(), other)
    with pytest.raises(PoolError, match="is no folder"):
        read_references(tmp_path / "none", 4, Fit(), "tables")
