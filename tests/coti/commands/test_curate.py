"""``coti curate`` and ``coti dataset export``, from a pool to a trainer's folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from coti.commands.main import cli
from coti.core.errors import CotiError
from coti.dataset.chosen_set import read_set

ROOT = Path(__file__).resolve().parents[3]
BOOTS = ROOT / "assets" / "pools" / "ankle_boot"


def run(*arguments: str) -> Any:
    """A command's result, its error as :func:`coti.commands.main.main` says it."""
    done = CliRunner().invoke(cli, list(arguments))
    if isinstance(done.exception, CotiError):
        return SimpleNamespace(exit_code=1, output=f"Error: {done.exception}\n")
    return done


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images, half of them boots, and a text."""
    folder = tmp_path_factory.mktemp("pool")
    chosen = [*sorted((BOOTS / "references").iterdir())[:6], *sorted(BOOTS.glob("pool/*.png"))[:6]]
    for path in chosen:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.png").write_bytes(b"no image")
    return folder


@pytest.mark.slow
def test_from_a_pool_to_a_trainers_folder(pool: Path, tmp_path: Path) -> None:
    """The verdict is said and is the exit code; the set has the bytes, reasons and a page; what was
    kept is beside it, and a second set over the first is refused before anything is read."""
    few = ("--preset", "bundled", "--set", "aesthetic.steps=5", "--captions", "auto")
    given = ("--seeds", str(BOOTS / "seeds"), "--name", "ankle boot", "--budget", "4", *few)
    output = tmp_path / "boots"
    done = run("curate", str(pool), *given, "--output", str(output), "--json")
    said = json.loads(done.output)
    assert (said["inputs"], said["counts"]["picked"], said["counts"]["not_an_image"]) == (13, 4, 1)
    assert done.exit_code == {"worked": 0, "doubtful": 4, "failed": 5}[said["verdict"]["outcome"]]
    assert sum(said["counts"].values()) == 13
    found = read_set(output)
    for row in found.chosen.to_dict("records"):
        assert (output / row["image"]).read_bytes() == (pool / row["source"]).read_bytes()
        assert row["address"] == f"{pool}/{row['source']}"
        assert (output / row["image"]).with_suffix(".txt").read_text() == row["caption"]
    page = (output / "report.html").read_text("utf-8")
    assert found.chosen["source"].iloc[0] in page
    assert list((tmp_path / ".coti-curate").rglob("features-*"))
    again = run("curate", str(pool / "nothing"), *given, "--output", str(output))
    assert "is there already and nothing that may be replaced" in again.output
    told = run("dataset", "export", str(output), "--for", "fal", "--output", str(tmp_path / "fal"))
    assert told.output.startswith(f"{tmp_path}/fal: 4 images, 0 masks\n         4  licence not st")


def test_a_wrong_call_is_one_sentence(tmp_path: Path) -> None:
    """Before a model is loaded: an unknown setting, a folder that is no set, neither set nor
    concept; a concept's run is the project's affair."""
    few = ("--seeds", str(BOOTS / "seeds"), "--name", "x", "--output", str(tmp_path / "o"))
    done = run("curate", str(BOOTS / "pool"), *few, "--set", "pool_rules.min_sides=3")
    assert (
        "unknown key 'pool_rules.min_sides': remove it or write pool_rules.min_side" in done.output
    )
    within = run("curate", str(tmp_path), *few)
    assert "lies in the pool, whose images it would join" in within.output
    alone = run("curate", str(BOOTS / "pool"), *few, "--captioner", "blip")
    assert "--captioner describes nothing without --captions auto" in alone.output
    to = ("--for", "kohya", "--output", str(tmp_path / "k"))
    assert "holds no set" in run("dataset", "export", str(tmp_path), *to).output
    neither = run("dataset", "export", *to)
    assert (neither.exit_code, "Give SET, or --concept" in neither.output) == (2, True)
    assert not list(tmp_path.iterdir())
