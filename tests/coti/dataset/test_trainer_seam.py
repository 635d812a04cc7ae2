"""A trainer that the package knows nothing of: one class, named where the name goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from coti.core.errors import ConfigError
from coti.dataset.chosen_set import ChosenSet
from coti.dataset.export import export_set
from coti.dataset.trainers.protocol import Job
from tests.coti.dataset.test_export import HIGH, WIDE, made, saved

__all__ = ["made", "saved"]


class OneFolder:
    """All in one place, and a word."""

    label = "a toy"
    formats = frozenset(("PNG", "JPEG"))

    def image_file(self, stem: str, suffix: str) -> str:
        """Right in the folder."""
        return f"{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """It takes none."""
        return ""

    def write(self, folder: Path, job: Job) -> None:
        """What is trained."""
        (folder / "job.txt").write_text(f"{job.words}: {len(job.images)}")

    def start(self, job: Job) -> str:
        """A word."""
        return "go"


def test_it_is_one_class(saved: ChosenSet, tmp_path: Path) -> None:
    """It gets the bytes and what is to be trained; a class that lacks something is refused."""
    done = export_set(saved, f"{__name__}:OneFolder", tmp_path / "out", trigger="bxt")
    assert (done.start, done.masks) == ("go", 0)
    assert (tmp_path / "out/job.txt").read_text() == "bxt red boot: 2"
    assert (tmp_path / "out/0001.png").read_bytes() == HIGH
    assert (tmp_path / "out/0002.jpg").read_bytes() == WIDE
    with pytest.raises(ConfigError, match="a class without image_file, mask_file, write, start"):
        export_set(saved, "builtins:dict", tmp_path / "more")
