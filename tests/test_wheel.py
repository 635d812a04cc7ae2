"""The wheel, installed into an environment without ZenML and MLflow, away from the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "assets" / "models" / "base"
SEEDS = ROOT / "assets" / "pools" / "ankle_boot" / "seeds"
CODE = ("coti", "cli", "ops", "steps", "pipelines", "materializers")
RUN = f"""
parameters:
  config:
    concept: ankle boot
    model: {{base_model: {MODEL}, device: cpu, dtype: float32}}
    token: {{placeholder_token: <boot>, initializer: foot, num_vectors: 2}}
    train: {{batch_size: 2, max_steps: 2, keep_latents_from: 0}}
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder to stand in."""

    wheel: Path
    environment: Path
    libraries: Path
    """Links to the libraries that the wheel's metadata asks for, and what those ask for."""
    folder: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of the environment."""
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ZENML"))}
        return subprocess.run(
            [str(self.environment / "bin" / words[0]), *words[1:]],
            cwd=self.folder,
            env={**variables, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def told(self, *words: str) -> str:
        """What it printed; it must end well and complain of nothing."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    def refused(self, *words: str) -> str:
        """Its one line on stderr; it must end with code 1."""
        done = self.run(*words)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


def _python(*words: str) -> None:
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def _required(name: str, extras: Set[str]) -> set[str]:
    """Names of the distributions that one needs, with what those need, of those that are here."""
    known: dict[str, set[str]] = {}

    def add(name: str, extras: Set[str]) -> None:
        wanted = extras - known.setdefault(name, set())
        known[name] |= wanted
        for line in (distribution(name).requires or ()) if wanted else ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in wanted):
                with suppress(PackageNotFoundError):
                    add(canonicalize_name(needed.name), {"", *needed.extras})

    add(name, extras)
    return set(known) - {name}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built from a copy that holds the ZenML project, too; installed as a user would, offline."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "coti_concept.py"):
        shutil.copy(ROOT / name, source / name)
    python = ("--python", sys.executable, "--offline")
    # The backend is the one that is here: an isolated build would fetch it.
    _python("build", "--wheel", "--no-isolation", "--outdir", str(place), str(source))
    (wheel,) = place.glob("*.whl")
    environment, libraries, folder = (place / name for name in ("venv", "libraries", "empty"))
    _python("uv", "venv", *python, str(environment))
    within = ("--python", str(environment / "bin" / "python"), "--offline")
    _python("uv", "pip", "install", "--no-deps", *within, str(wheel))
    libraries.mkdir()
    folder.mkdir()
    for library in _required("coti", {"", "pool"}):
        found = distribution(library)
        for name in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
            link = libraries / name
            if name != "__pycache__" and not link.exists():
                link.symlink_to(str(found.locate_file(name)))
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
    return Installed(wheel, environment, libraries, folder)


def test_it_holds_the_library_alone(installed: Installed) -> None:
    """All of coti/, and no package of the ZenML project: none named cli, steps or pipelines."""
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "coti").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    (site,) = installed.environment.glob("lib/python*/site-packages")
    for name in CODE[1:]:
        assert not (site / name).exists(), name


def test_its_help_is_there_at_once(installed: Installed) -> None:
    """It names the library's commands, not the project's, and imports nothing heavy for that."""
    told = installed.told("coti", "--help")
    for command in (
        "curate",
        "dataset",
        "edit",
        "evaluate",
        "generate",
        "init",
        "pool",
        "run",
        "train",
        "weights",
    ):
        assert f"\n  {command} " in told
    for command in ("registry", "retrain", "stack", "studio", "ui"):
        assert f"\n  {command} " not in told
    assert installed.told("coti", "--version").startswith("coti, version ")
    asked = "import sys; from coti.commands.main import cli; cli(['--help'], standalone_mode=False)"
    heavy = "{'torch', 'numpy', 'pydantic', 'diffusers', 'transformers'} & set(sys.modules)"
    assert installed.told("python", "-c", f"{asked}; print({heavy})").endswith("\nset()\n")


def test_coti_learn_is_importable(installed: Installed) -> None:
    """From the wheel, not from the repository."""
    told = installed.told(
        "python", "-c", "import coti; print(coti.__file__, coti.learn.__module__)"
    )
    assert told.startswith(str(installed.environment))
    assert told.endswith("coti.api.learning\n")


def test_an_embedding_is_trained_and_generated_with(installed: Installed) -> None:
    """``coti train``, and ``coti generate`` with what it wrote; images go below the folder."""
    (installed.folder / "run.yaml").write_text(RUN, encoding="utf-8")
    told = installed.told(
        *("coti", "train", str(SEEDS), "-c", "run.yaml", "--output", "boot.safetensors")
    )
    assert told == "boot.safetensors: 2 steps, 4 image-steps. All 2 steps are done.\n"
    told = installed.told(
        *("coti", "generate", "--embedding", "boot.safetensors", "--num-images", "1"),
        *("--num-inference-steps", "2", "--device", "cpu"),
    )
    assert told.startswith("1 images in outputs/generated/")
    (image,) = installed.folder.glob("outputs/generated/*/0000.png")
    with Image.open(image) as opened:
        assert opened.size == (32, 32)


def test_a_pool_is_checked(installed: Installed) -> None:
    """With the extra `pool`; without it one sentence names it, before anything is written."""
    pool = installed.folder / "pool"
    pool.mkdir()
    Image.linear_gradient("L").save(pool / "good.png")
    (pool / "bad.jpg").write_bytes(b"<html>")
    told = installed.told("coti", "pool", "check", "pool", "--output", "checked")
    assert "2 inputs = 1 accepted + 1 quarantined" in told
    assert (installed.folder / "checked" / "report.html").is_file()
    taken = installed.libraries / "cleanvision"
    origin = taken.readlink()
    taken.unlink()
    said = installed.refused("coti", "pool", "check", "pool", "--output", "again")
    taken.symlink_to(origin)
    assert said.startswith("Error: cleanvision is needed for this and not installed: ")
    assert "-py3-none-any.whl[pool]'`" in said
    assert not (installed.folder / "again").exists()


def test_a_pool_is_curated_and_exported(installed: Installed) -> None:
    """With an open_clip model that is named, and nothing of the repository's."""
    pool = SEEDS.parent / "references"
    given = ("--seeds", str(SEEDS), "--name", "boot", "--budget", "3", "--output", "boots")
    scorer = ("--encoder", str(ROOT / "assets" / "models" / "scorer"))
    done = installed.run("coti", "curate", str(pool), *given, *scorer)
    assert done.returncode in (0, 4, 5), done.stderr
    assert "        3  picked\n" in done.stdout
    to = ("--for", "kohya", "--output", "boots_kohya", "--trigger", "bxt")
    assert "boots_kohya: 3 images" in installed.told("coti", "dataset", "export", "boots", *to)
    assert (installed.folder / "boots_kohya" / "train.toml").is_file()


def test_a_run_file_is_written_over_a_preset(installed: Installed) -> None:
    """The presets are in the wheel; the loop's pipeline is not, and one sentence says so."""
    given = ("--concept", "red boot", "--initializer", "boot", "--preset", "sdxl")
    told = installed.told("coti", "init", str(SEEDS), *given, "--pool", str(SEEDS))
    assert f"coti train {SEEDS} -c red-boot.yaml --output red-boot.safetensors" in told
    read = "from coti.settings.from_yaml import read_run_file as r; from pathlib import Path as P"
    model = "print(r(P('red-boot.yaml')).model.base_model)"
    told = installed.told("python", "-c", f"{read}; {model}")
    assert told == "stabilityai/stable-diffusion-xl-base-1.0\n"
    said = installed.refused("coti", "run", "-c", "red-boot.yaml")
    assert said.startswith("Error: The pipeline belongs to the ZenML project: ")


@pytest.mark.parametrize(
    "words",
    [
        ("generate", "--concept", "ankle boot"),
        ("evaluate", "--word", "foot", "--references", str(SEEDS), "--track"),
    ],
)
def test_what_the_project_alone_can_do_is_said(installed: Installed, words: list[str]) -> None:
    """The registry and tracking: one sentence with the remedy, before anything is measured."""
    said = installed.refused("coti", *words)
    assert "belong to the ZenML project" in said
    assert "Clone the repository" in said
    assert "--embedding FILE" in said
