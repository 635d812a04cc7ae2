"""``coti retrain`` and ``coti registry`` as a CI drives them, on the real pipeline."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from tests.e2e.conftest import Workspace, copy_pool

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GATE = {"r_precision_floor": 0.0, "worked_only": False}
"""The default one, but for the first champion: that is to be a bad one."""
EASY = {
    "r_precision_floor": 0.0,
    "worked_only": False,
    "fd_margin": -100.0,
    "r_precision_margin": -1.0,
}
"""A gate through which everything is better."""


def _retrain(space: Workspace, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the outcome, and the job summary."""
    space.config(
        "concept",
        promotion=GATE,
        # Whatever lies in the pool is learned, at once.
        strategy="full",
        controller={"max_cycles": 0},
        train={"max_steps": 40, "phi_every": 20, "batch_size": 8},
        schedule={"dynamic": False},
    )
    folder = space.root / "concepts"
    folder.mkdir(exist_ok=True)
    shutil.move(space.root / "concept.yaml", folder / "boots.yaml")
    page = space.root / "summary.md"
    page.unlink(missing_ok=True)
    space.extra["GITHUB_STEP_SUMMARY"] = str(page)
    done = space.command("coti", "retrain", str(folder), "--json", *options)
    assert done.stdout, done.stderr[-2000:]
    (outcome,) = json.loads(done.stdout)
    return done.returncode, outcome, page.read_text(encoding="utf-8")


def _block(space: Workspace, folder: Path) -> None:
    """Put a file in the place of a folder once training has begun."""
    space.wait_for_training()
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("")


def _fill_pool(space: Workspace, spoil: Callable[[Image.Image], Image.Image] | None) -> None:
    """The workspace's pool, each of its images spoilt."""
    place = space.root / "assets" / "pools" / "ankle_boot"
    shutil.rmtree(place)
    copy_pool(place)
    if spoil is not None:
        for path in sorted((place / "pool").iterdir()):
            try:
                with Image.open(path) as image:
                    spoilt = spoil(image.convert("RGB"))
            except (OSError, Image.DecompressionBombError):  # pools hold broken files, too
                continue
            spoilt.save(path)


def _negative(image: Image.Image) -> Image.Image:
    return ImageOps.invert(image)


def _upside_down_negative(image: Image.Image) -> Image.Image:
    return ImageOps.invert(ImageOps.flip(image))


def _champion(space: Workspace) -> list[int]:
    done = space.command("coti", "registry", "list", "ankle boot", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    return [row["version"] for row in rows if "champion" in row["aliases"]]


def _stages(space: Workspace) -> dict[str, int]:
    """ZenML's mirror: MLflow's version in each stage of the model control plane."""
    found: dict[str, int] = space.query(
        "import json; from zenml.client import Client\n"
        "every = Client().list_model_versions(model='ankle-boot', size=100).items\n"
        "stages = {v.stage: int(v.name.removeprefix('mlflow-')) for v in every if v.stage}\n"
        "print(json.dumps({k: v for k, v in stages.items() if k != 'archived'}))"
    )
    return found


def test_the_life_of_a_concept_under_ci(workspace: Workspace) -> None:
    """First; unchanged; changed and better; changed and worse; rolled back; exported.

    Only the pool changes, and only the metrics decide: of negatives the embedding learns negatives.
    """
    _fill_pool(workspace, _negative)
    # A file where the folder should be is seen before anything is trained.
    blocked = workspace.root / "outputs"
    blocked.write_text("")
    code, outcome, _ = _retrain(workspace)
    assert (code, outcome["action"]) == (1, "failed"), outcome
    assert workspace.registered() == 0
    blocked.unlink()
    # One that comes later: all is trained, registered and promoted by then, but nothing is written,
    # and the repeat may not find it unchanged.
    blocks = threading.Thread(target=_block, args=(workspace, blocked))
    blocks.start()
    code, outcome, _ = _retrain(workspace)
    blocks.join()
    assert (code, outcome["action"]) == (1, "failed"), outcome
    assert _champion(workspace) == [1]
    blocked.unlink()
    code, outcome, page = _retrain(workspace)
    assert (code, outcome["action"], outcome["version"]) == (0, "promoted", 1), outcome
    assert workspace.audit() == [("promote", 1)]
    assert (workspace.root / "outputs" / "latest" / "report.html").is_file()
    assert "| fd_judge ↓ |" in page

    code, outcome, _ = _retrain(workspace)
    assert (code, outcome["action"]) == (0, "unchanged")

    _fill_pool(workspace, None)
    fetched = workspace.root / "fetched"
    code, outcome, _ = _retrain(workspace, "--output", str(fetched))
    assert outcome["changed"] == ["pool"]
    assert (code, outcome["action"]) == (0, "promoted"), outcome
    better = outcome["version"]
    assert _champion(workspace) == [better]
    assert _stages(workspace) == {"production": better}
    names = {path.name for path in (fetched / "ankle-boot").rglob("*.*")}
    assert names >= {"learned_embeds.safetensors", "report.html", "samples.png"}

    _fill_pool(workspace, _upside_down_negative)
    code, outcome, page = _retrain(workspace)
    assert (code, outcome["action"]) == (10, "challenger"), outcome
    worse = outcome["version"]
    assert "the champion's with the margin" in outcome["reason"]
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
    assert _stages(workspace) == {"production": 1, "staging": worse}
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
    assert _stages(space)["production"] == better
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
        assert [
            "concept",
            "version",
            "aliases",
            "fd_judge",
            "R-precision",
            "φ_ref",
            "run",
        ] in lines
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
