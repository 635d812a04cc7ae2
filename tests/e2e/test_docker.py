"""The pipeline in real containers: ``k8s/docker.sh`` builds the image, stack ``docker`` runs it.

`make test-docker`: needs an engine that answers; building the image the first time takes minutes
and gigabytes.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from docker.errors import DockerException, NotFound

from tests.e2e.conftest import ROOT, TINY, Workspace, checkpoints_below, make_workspace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif("COTI_TEST_DOCKER" not in os.environ, reason="its own: make test-docker"),
]

PLANTED = "planted-secret-4711"
PLACES = (
    ".env",
    ".git/config",
    ".coti/zenml/local_stores/default_zen_store/zenml.db",
    ".coti/logs/planted.log",
    ".zen/config.yaml",
    "outputs/planted.txt",
    "configs/.env",
    "steps/local.env",
    "assets/pools/.env",
)
"""Files of a checkout that hold secrets or state, in folders that the image gets and others."""
_EMBEDDING = """
import hashlib, json
from zenml.client import Client
run = Client().list_pipeline_runs(size=1, sort_by="desc:created").items[0]
embedding = run.steps["write_outputs"].inputs["kept_embedding"][0].load()
print(json.dumps(hashlib.sha256(embedding.parts[0].numpy().tobytes()).hexdigest()))
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's Docker engine."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException:
        client = None
    if client is None:
        # docker-py leaves the socket open that found nobody; else its warning fails a later test
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        pytest.fail("no Docker engine answers: start one, or set DOCKER_HOST")
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this checkout, built with a secret in the environment and in files.

    The files are planted in a copy: the checkout may hold real ones.
    """
    if os.geteuid() and not os.environ.get("COTI_BASE_IMAGE"):
        pytest.skip("no base image: set COTI_BASE_IMAGE, or be root for debootstrap")
    name = os.environ.get("COTI_IMAGE", "coti:local")
    copy = tmp_path_factory.mktemp("context") / "checkout"
    own = (".venv", ".git", ".coti", ".zen", "outputs", "mlruns", "scratch", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*own, ".*_cache"))
    for place in PLACES:
        path = copy / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"AWS_SECRET_ACCESS_KEY={PLANTED}\n", encoding="utf-8")
    done = subprocess.run(
        [str(copy / "k8s" / "docker.sh"), "image"],
        env={**os.environ, "COTI_IMAGE": name, "AWS_SECRET_ACCESS_KEY": PLANTED},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return name


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, image: str) -> Workspace:
    """A checkout whose stack is docker."""
    found = make_workspace(tmp_path_factory.mktemp("docker"), every=1)
    found.extra["COTI_IMAGE"] = image
    done = found.command("coti", "stack", "up", "docker")
    assert done.returncode == 0, done.stdout + done.stderr
    return found


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A checkout on the local stack, without containers."""
    return make_workspace(tmp_path_factory.mktemp("calm"), every=1)


ONE_CYCLE: dict[str, Any] = {"controller": {"max_cycles": 1}}
# Long enough to be met in its middle; on the seeds alone, since each container takes seconds.
SLOW_START: dict[str, Any] = {
    "controller": {"max_cycles": 0},
    "train": {"max_steps": 80, "phi_every": 40, "batch_size": 4, "checkpoint_every": 2},
}


def _config(space: Workspace, **changes: Any) -> Path:
    """``configs/docker.yaml`` with the tiny run's parameters."""
    content: dict[str, Any] = yaml.safe_load(
        (ROOT / "configs" / "docker.yaml").read_text(encoding="utf-8")
    )
    content["parameters"]["config"] = {**TINY, **changes, "output": "/tmp/outputs"}
    # Bits are compared: the container computes with as many threads as these tests.
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    content["settings"]["orchestrator"]["run_args"]["environment"] = threads
    path = space.root / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _in_container(engine: docker.DockerClient, image: str, *words: str, **options: Any) -> str:
    said: bytes = engine.containers.run(
        image, list(words), remove=True, read_only=True, tmpfs={"/tmp": ""}, **options
    )
    return said.decode()


def test_the_image_is_nobody_reads_only_and_is_healthy_without_a_shell(
    engine: docker.DockerClient, image: str
) -> None:
    """What a cluster's "restricted" profile asks of an image."""
    said = _in_container(
        engine,
        image,
        "python",
        "-c",
        "import os; print(os.getuid())",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
    )
    assert said.strip() == "10001"
    assert "Usage: coti" in _in_container(engine, image, "coti", "--help")
    check = engine.images.get(image).attrs["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    _in_container(engine, image, *check[1:])


def test_the_image_holds_no_secret_and_nothing_it_need_not(
    engine: docker.DockerClient, image: str
) -> None:
    """Neither what was in the builder's environment, nor its state and history."""
    found = engine.images.get(image)
    assert PLANTED not in str(found.history())
    assert PLANTED not in str(found.attrs)
    files = _in_container(
        engine, image, "python", "-c", "import os; print(*os.listdir('/app'), sep='\\n')"
    ).split()
    assert {"coti", "steps", "pipelines", "cli"} <= set(files)
    assert not {"tests", ".git", ".coti", ".env", "benchmarks"} & set(files)
    for name in ("pytest", "streamlit", "uv"):
        with pytest.raises(docker.errors.ContainerError):
            _in_container(engine, image, "python", "-c", f"import {name}")


def test_no_planted_file_is_in_the_images_file_system(
    engine: docker.DockerClient, image: str
) -> None:
    """All of it is read, the libraries included, as the engine exports it."""
    container = engine.containers.create(image)
    try:
        # The second is there: what is searched is the files' contents, uncompressed.
        found = _found(container.export(), [PLANTED.encode(), b"def coti_concept("])
    finally:
        container.remove()
    assert found == {b"def coti_concept("}


def _found(chunks: Iterable[bytes], words: list[bytes]) -> set[bytes]:
    """Which of the words are in a stream, on the border of two chunks as well."""
    found: set[bytes] = set()
    longest, before = max(map(len, words)), b""
    for chunk in chunks:
        text = before + chunk
        found |= {word for word in words if word in text}
        before = text[-longest:]
    return found


def test_the_stack_check_finds_engine_and_image(space: Workspace) -> None:
    """Component by component."""
    done = space.command("coti", "stack", "check")
    assert done.returncode == 0, done.stdout
    assert "Docker engine" in done.stdout
    assert f"image {space.extra['COTI_IMAGE']} is there" in done.stdout


def test_the_dynamic_pipeline_in_a_container_learns_the_same(
    space: Workspace, calm: Workspace
) -> None:
    """A read-only root file system, no capabilities: the embedding is the local stack's."""
    calm.run(calm.config("run", **ONE_CYCLE))
    done = space.run(_config(space, **ONE_CYCLE))
    # What the run says passes by on the terminal, its table in columns.
    said = done.stdout + done.stderr
    assert "has finished in" in said
    assert "\n\N{NO-BREAK SPACE} cycle " in said
    assert "ankle-boot version 1: promoted" in said
    assert set(space.cached_steps().values()) <= {"completed", "cached"}
    assert space.query(_EMBEDDING) == calm.query(_EMBEDDING)


def test_a_run_that_fails_in_its_container_fails_here(space: Workspace) -> None:
    """A pool that the image does not hold: one sentence, and an exit code that CI sees."""
    config = _config(space)
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content["parameters"]["config"]["pool"] = "/nowhere"
    broken = config.with_name("broken.yaml")
    broken.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = space.command("zenml", "pipeline", "run", "coti_concept", "-c", str(broken))
    assert done.returncode == 1
    assert "/nowhere" in done.stdout + done.stderr


def test_a_step_container_killed_in_mid_training_goes_on(
    engine: docker.DockerClient,
    image: str,
    tmp_path: Path,
    calm: Workspace,
) -> None:
    """The static twin, a container a step: the second run ends as if nothing had happened.

    Nothing is registered or promoted twice.
    """
    space = make_workspace(tmp_path, every=1)
    space.extra["COTI_IMAGE"] = image
    assert space.command("coti", "stack", "up", "docker").returncode == 0
    config = _config(space, **SLOW_START)
    killed = threading.Event()
    stop = threading.Event()

    def kill() -> None:
        while not stop.is_set() and not killed.is_set():
            for container in engine.containers.list(filters={"ancestor": image}):
                words = " ".join(container.attrs["Config"]["Cmd"] or [])
                checkpoints = checkpoints_below(space.state)
                if "train_cycle" in words and checkpoints:
                    try:
                        container.kill()
                        killed.set()
                    except (NotFound, DockerException):
                        continue
            time.sleep(0.05)

    watcher = threading.Thread(target=kill)
    watcher.start()
    words = ("zenml", "pipeline", "run", "coti_concept_static", "-c", str(config))
    first = space.command(*words)
    stop.set()
    watcher.join()
    assert killed.is_set()
    assert first.returncode != 0
    again = space.command(*words)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
    calm.run(calm.config("slow", **SLOW_START))
    assert space.query(_EMBEDDING) == calm.query(_EMBEDDING)
    database = str(space.state / "zenml" / "local_stores" / "coti-docker" / "mlflow.db")
    assert space.registered(database) == 1
    assert space.audit(database) == [("promote", 1)]
