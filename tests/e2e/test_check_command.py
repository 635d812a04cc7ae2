"""``coti check`` on the bundled concept: nothing against it; with other seeds it fails."""

from __future__ import annotations

import json

import pytest
from PIL import Image, ImageOps

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_what_does_not_go_together_is_said_before_training(workspace: Workspace) -> None:
    """The pool's boots and boots as seeds; then seeds that show something else."""
    good = workspace.config("good")
    done = workspace.command("coti", "check", "-c", str(good))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "images of the pool pass the scorer" in done.stdout
    assert "worked: nothing of" in done.stdout
    for path in (workspace.root / "assets" / "pools" / "ankle_boot" / "seeds").iterdir():
        with Image.open(path) as image:
            turned = ImageOps.invert(image.convert("RGB")).rotate(90)
        (workspace.root / "turned").mkdir(exist_ok=True)
        turned.save(workspace.root / "turned" / path.name)
    bad = workspace.config("bad", seeds="turned")
    done = workspace.command("coti", "check", "-c", str(bad), "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["outcome"]) == (5, "failed"), verdict
    assert any("of the seeds" in reason for reason in verdict["reasons"])
    assert not (workspace.root / "outputs").exists()
