"""``coti retrain`` and ``coti registry`` as a CI drives them, on the real pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EASY = {"r_precision_floor": 0.0, "fd_margin": -100.0, "r_precision_margin": -1.0}
"""A gate through which everything is better."""
HARD = {"r_precision_floor": 0.0, "fd_margin": 0.99}
"""A gate through which everything is worse."""


def _retrain(space: Workspace, gate: dict[str, float]) -> tuple[int, dict[str, Any], str]:
    """Exit code, the outcome, and the job summary."""
    # The last cycle is always the best: the first, on the seeds alone, knows nothing of the pool.
    last = {"max_cycles": 1, "min_improvement": -100.0}
    space.config("concept", promotion=gate, controller=last)
    folder = space.root / "concepts"
    folder.mkdir(exist_ok=True)
    shutil.move(space.root / "concept.yaml", folder / "boots.yaml")
    page, out = space.root / "summary.md", space.root / "outcomes.json"
    page.unlink(missing_ok=True)
    space.extra["GITHUB_STEP_SUMMARY"] = str(page)
    done = space.command("coti", "retrain", str(folder), "--json", str(out))
    assert out.is_file(), done.stdout[-2000:] + done.stderr[-2000:]
    (outcome,) = json.loads(out.read_text())
    return done.returncode, outcome, page.read_text(encoding="utf-8")


def _without(space: Workspace, every: int) -> None:
    """Take every so-manyth picture out of the pool: what is picked must change."""
    pool = space.root / "assets" / "pools" / "ankle_boot" / "pool"
    for path in sorted(pool.rglob("*.png"))[::every]:
        path.unlink()


def _champion(space: Workspace) -> list[int]:
    done = space.command("coti", "registry", "list", "ankle boot", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.strip().splitlines()[-1])
    return [row["version"] for row in rows if "champion" in row["aliases"]]


def test_the_life_of_a_concept_under_ci(workspace: Workspace) -> None:
    """First; unchanged; changed and better; changed and worse; rolled back; exported."""
    code, outcome, page = _retrain(workspace, EASY)
    assert (code, outcome["action"], outcome["version"]) == (0, "promoted", 1)
    assert "| fd |" in page

    code, outcome, _ = _retrain(workspace, EASY)
    assert (code, outcome["action"]) == (0, "unchanged")

    _without(workspace, 3)
    code, outcome, _ = _retrain(workspace, EASY)
    assert outcome["changed"] == ["pool"]
    assert (code, outcome["action"]) == (0, "promoted"), outcome
    better = outcome["version"]
    assert _champion(workspace) == [better]

    _without(workspace, 4)
    code, outcome, page = _retrain(workspace, HARD)
    assert (code, outcome["action"]) == (10, "challenger"), outcome
    worse = outcome["version"]
    assert "is not below" in outcome["reason"]
    assert outcome["reason"] in page
    assert _champion(workspace) == [better]

    # By the gate of the run file; the default one would let it pass.
    gate = ("-c", "concepts/boots.yaml")
    refused = workspace.command(
        "coti", "registry", "promote", "ankle boot", "--why", "please", *gate
    )
    assert refused.returncode == 3
    assert "not promoted" in refused.stdout
    compared = workspace.command("coti", "registry", "compare", "ankle boot")
    assert "Comparable: same judge" in compared.stdout
    back = workspace.command("coti", "registry", "rollback", "ankle boot", "--why", "a drill")
    assert back.returncode == 0, back.stderr
    assert _champion(workspace) == [1]
    shown = workspace.command("coti", "registry", "show", "ankle boot")
    assert "rollback version 1" in shown.stdout
    assert "a drill" in shown.stdout
    _check_by_hand(workspace, better, worse)
    _check_export(workspace)


def _check_by_hand(space: Workspace, better: int, worse: int) -> None:
    """Promoted through an easy gate, set back to a version by number, shown in a table."""
    gate = ("-c", str(space.config("easy", promotion=EASY)))
    done = space.command("coti", "registry", "promote", "ankle boot", "--why", "a whim", *gate)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ankle-boot version {worse}: promoted" in done.stdout
    assert _champion(space) == [worse]
    back = ("coti", "registry", "rollback", "ankle boot", "--to", str(better), "--why", "sober")
    done = space.command(*back)
    assert done.returncode == 0, done.stderr
    assert f"ankle-boot version {better} is the champion again." in done.stdout
    assert _champion(space) == [better]
    again = space.command(*back)
    assert again.returncode == 1
    assert f"version {better} is the champion already" in again.stderr
    assert space.audit()[-2:] == [("promote", worse), ("rollback", better)]
    _check_list(space, better, worse)


def _check_list(space: Workspace, better: int, worse: int) -> None:
    """A line a version, newest first, the champion's marked; of all concepts without a name."""
    for words in (("ankle boot",), ()):
        done = space.command("coti", "registry", "list", *words)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        assert ["concept", "version", "aliases", "fd", "r_precision", "phi_ref", "run"] in lines
        rows = [line for line in lines if line[:1] == ["ankle-boot"]]
        assert [row[1] for row in rows] == [str(number) for number in range(worse, 0, -1)]
        assert [row[1] for row in rows if "champion" in row] == [str(better)]


def _check_export(space: Workspace) -> None:
    out = space.root / "exported"
    done = space.command("coti", "registry", "export", "ankle boot", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert (out / "token_identifier.txt").read_text() == "<ankle-boot>"
    assert len(list((out / "concept_images").glob("*.png"))) == 10
    assert (out / "webui" / "ankle-boot.safetensors").is_file()
    assert "coti.pool_hash" in (out / "README.md").read_text(encoding="utf-8")


def test_a_broken_run_file_is_a_failure(workspace: Workspace, tmp_path: Path) -> None:
    """Exit code 1 and one sentence, however many others are well."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("parameters: {config: {concept: x, nonsense: 1}}")
    done = workspace.command("coti", "retrain", str(bad))
    assert done.returncode == 1
    assert "unknown key 'nonsense'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
