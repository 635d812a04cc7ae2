"""The disk full: the same command ends with the same embedding."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Workspace, make_workspace
from tests.e2e.learned import learned

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT: dict[str, Any] = {
    "train": {"max_steps": 8, "phi_every": 8, "batch_size": 4, "checkpoint_every": 2},
    "controller": {"max_cycles": 0},
}
"""One cycle on the seeds alone, with checkpoints before its last step."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """No byte is left for artifacts when training starts; freed again, the run ends the same."""
    space = make_workspace(tmp_path_factory.mktemp("full"))
    config = space.config("run", **SHORT)
    folder = space.root / ".coti" / "artifacts"
    with _small_disk(folder):
        ballast = folder / "ballast"
        filler = threading.Thread(target=_fill, args=(space, ballast))
        filler.start()
        done = space.command("zenml", "pipeline", "run", "coti_concept", "-c", str(config))
        filler.join()
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 1, said[-2000:]
        # A checkpoint is the first thing that training writes.
        assert "No space left on device" in said, said[-2000:]
        assert "make room and run the same command again" in said, said[-2000:]
        assert "Traceback" not in said
        ballast.unlink()
        space.run(config)
        assert space.vectors() == learned(space, **SHORT)
        assert space.cached_steps()["gather_features"] == "cached"
        assert space.registered() == 1
        assert space.audit() == [("promote", 1)]


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A file system of 256 MiB in memory at ``folder``."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256M", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(space: Workspace, ballast: Path) -> None:
    """Take all that is left, from the start of training on."""
    space.wait_for_training()
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
