"""A checkout of its own with its own ZenML and MLflow state, and a way to run commands in it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from safetensors.torch import load_file

from coti.loop.verdict import EXIT_CODES
from tests.warm_start import elsewhere, warm_start

ROOT = Path(__file__).resolve().parents[2]
CODE = ("coti", "ops", "steps", "pipelines", "materializers", "cli", "configs")
FILES = (
    "coti_concept.py",
    "coti_concept_static.py",
    "coti_experiments.py",
    "requirements.lock",
    "pyproject.toml",
)

EVERY = 5
"""One in so many of the bundled pool's images, where a test does not need more."""

TINY: dict[str, Any] = {
    "concept": "ankle boot",
    "seeds": "assets/pools/ankle_boot/seeds",
    "pool": "assets/pools/ankle_boot/pool",
    "references": "assets/pools/ankle_boot/references",
    "ground_truth": "assets/pools/ankle_boot/ground_truth.csv",
    "token": {"placeholder_token": "<ankle-boot>", "initializer": "foot"},
    "train": {"max_steps": 6, "phi_every": 3, "batch_size": 4, "checkpoint_every": 2},
    "generation": {
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
        "phi_images": 8,
        "cycle_images": 72,
        "sample_images": 4,
    },
    "controller": {"max_cycles": 1},
    "selection": {"batch": 10},
    "promotion": {"r_precision_floor": 0.0, "worked_only": False},
    "evaluation": {
        "captions": ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt"],
        "kid_subsets": 5,
        "kid_subset_size": 20,
    },
}
"""The quickstart in small: everything real, few steps, one image in five."""


def checkpoints_below(folder: Path) -> list[Path]:
    """Training checkpoints below ``folder``, in which a run may be at work.

    ``rglob`` raises for a folder that is gone since it was listed; ``os.walk`` goes on.
    """
    return [
        Path(place, name)
        for place, _, names in os.walk(folder)
        if "coti_checkpoints" in Path(place).parts
        for name in names
        if name == "checkpoint.safetensors"
    ]


@dataclass
class Workspace:
    """A copy of the code, links to the assets, a state of its own."""

    root: Path
    state: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """Environment of the commands."""
        return {
            **elsewhere(os.environ),
            "PYTHONPATH": str(self.root),
            "ZENML_CONFIG_PATH": str(self.state / "zenml"),
            "PYTHONWARNINGS": "default",
            **self.extra,
        }

    def config(self, name: str, **changes: Any) -> Path:
        """A run file: the tiny configuration with changes."""
        path = self.root / f"{name}.yaml"
        values = {**TINY, **changes}
        path.write_text(yaml.safe_dump({"parameters": {"config": values}}), encoding="utf-8")
        return path

    def command(
        self,
        *words: str,
        cwd: Path | None = None,
        stdin: str | None = None,
        cold: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the virtual environment; ``cold``, as a shell starts it."""
        script, folder = self._script(words), cwd or self.root
        if cold:
            return subprocess.run(
                [sys.executable, *script],
                cwd=folder,
                env=self.env,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
        return warm_start().run(script, folder, self.env, stdin or "")

    def run(
        self,
        config: Path,
        cwd: Path | None = None,
        cold: bool = False,
        pipeline: str = "coti_concept",
    ) -> subprocess.CompletedProcess[str]:
        """``zenml pipeline run coti_concept -c config``, which must end, whatever its verdict."""
        words = ("zenml", "pipeline", "run", pipeline, "-c", str(config))
        done = self.command(*words, cwd=cwd, cold=cold)
        # Tiny runs may well be doubtful.
        assert done.returncode in EXIT_CODES.values(), done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def run_and_kill(
        self,
        config: Path,
        when: Callable[[str], object],
        number: signal.Signals = signal.SIGKILL,
        pipeline: str = "coti_concept",
    ) -> bool:
        """Start the run and kill it once ``when`` says so of its log; False if it ended."""
        logs = self.root / ".coti" / "logs"
        before = set(logs.glob("*.log"))
        words = self._script(("zenml", "pipeline", "run", pipeline, "-c", str(config)))
        started = warm_start().start(words, self.root, self.env)
        deadline = time.monotonic() + 900
        killed = False
        while not killed and started.wait(0.05) is None:
            assert time.monotonic() < deadline
            new = set(logs.glob("*.log")) - before
            if any(when(path.read_text(encoding="utf-8")) for path in new):
                started.kill(number)
                killed = True
        started.end()
        return killed

    def wait_for_training(self, seconds: float = 600.0) -> None:
        """Return once a command's log says that training has begun, or the time is up."""
        self.wait_for("Step `train_cycle_0` has started", seconds)

    def wait_for(self, words: str, seconds: float = 600.0) -> None:
        """Return once a command's log says ``words``, or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            logs = (self.root / ".coti" / "logs").glob("*.log")
            said = "".join(path.read_text(encoding="utf-8") for path in logs)
            if words in said:
                return
            time.sleep(0.2)

    def checkpoints(self) -> list[Path]:
        """Training checkpoints in the artifact store."""
        return checkpoints_below(self.root)

    def vectors(self) -> bytes:
        """The tensor's bytes of the embedding that the newest run learned."""
        return tensor_of(self.latest())

    def latest(self) -> Path:
        """The newest run's folder."""
        return (self.root / "outputs" / "latest").resolve()

    def registered(self, database: str = "mlflow.db") -> int:
        """Versions of the concept's registered model in MLflow's local database."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{self.root / '.coti' / database}")
        return len(client.search_model_versions("name = 'ankle-boot'"))

    def audit(self, database: str = "mlflow.db") -> list[tuple[str, int]]:
        """Action and version of each line of the concept's audit trail, oldest first."""
        from mlflow import MlflowClient

        from ops.registry.audit import entries

        client = MlflowClient(tracking_uri=f"sqlite:///{self.root / '.coti' / database}")
        return [(each.action, each.version) for each in entries(client, "ankle-boot")]

    def query(self, code: str) -> Any:
        """Ask ZenML in a process of its own; ``code`` prints one JSON value last."""
        done = self.command("python", "-c", code)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    def cached_steps(self) -> dict[str, str]:
        """Step name to status of the newest pipeline run."""
        found: dict[str, str] = self.query(
            "import json; from zenml.client import Client\n"
            "run = Client().list_pipeline_runs(size=1, sort_by='desc:created').items[0]\n"
            "print(json.dumps({k: s.status.value for k, s in run.steps.items()}))"
        )
        return found

    @staticmethod
    def _script(words: tuple[str, ...]) -> list[str]:
        """A console script of the environment, run by this interpreter; ``python`` is itself."""
        if words[0] == "python":
            return list(words[1:])
        return [str(Path(sys.executable).parent / words[0]), *words[1:]]


def tensor_of(folder: Path) -> bytes:
    """The tensor's bytes of a folder's embedding."""
    (tensor,) = load_file(folder / "learned_embeds.safetensors").values()
    return bytes(tensor.numpy().tobytes())


def make_workspace(folder: Path, every: int = EVERY) -> Workspace:
    """Copy the code, link the assets, register the local stack.

    A copy of one that all tests share: making both databases anew takes longer than most tests.
    """
    shared = Path(os.environ["COTI_TESTS_SHARED"]) / str(every)
    with FileLock(f"{shared}.lock"):
        if not (shared / "made").exists():
            first = make_checkout(shared, every)
            _succeeds(first, "coti", "stack", "up", "local")
            (shared / "made").touch()
    for name in ("checkout", "state"):
        shutil.copytree(shared / name, folder / name, symlinks=True)
    space = Workspace(folder / "checkout", folder / "state")
    _succeeds(space, "python", "-c", "from ops.stack.moved_state import settle; assert settle()")
    return space


def _succeeds(space: Workspace, *words: str) -> None:
    done = space.command(*words)
    assert done.returncode == 0, done.stdout + done.stderr


def make_checkout(folder: Path, every: int = EVERY) -> Workspace:
    """Copy the code, link the assets; ZenML knows nothing of it yet."""
    root = folder / "checkout"
    root.mkdir(parents=True)
    for name in CODE:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    (root / "assets").mkdir()
    (root / "assets" / "models").symlink_to(ROOT / "assets" / "models")
    copy_pool(root / "assets" / "pools" / "ankle_boot", every)
    return Workspace(root, folder / "state")


def copy_pool(target: Path, every: int = EVERY) -> None:
    """Of the bundled pool, its captions and its references one in ``every``; all seeds."""
    source = ROOT / "assets" / "pools" / "ankle_boot"
    shutil.copytree(source / "seeds", target / "seeds")
    shutil.copy(source / "ground_truth.csv", target)
    for name in ("pool", "references"):
        (target / name).mkdir(parents=True)
        images = sorted(path for path in (source / name).iterdir() if path.suffix != ".csv")
        for path in images[::every]:
            shutil.copy(path, target / name)
    (captions,) = (source / "pool").glob("*.csv")
    with captions.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    with (target / "pool" / captions.name).open("w", newline="", encoding="utf-8") as file:
        there = (row for row in rows if (target / "pool" / row[0]).is_file())
        csv.writer(file).writerows([head, *there])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One workspace a test module."""
    folder = tmp_path_factory.mktemp("coti")
    yield make_workspace(folder)
    shutil.rmtree(folder)
