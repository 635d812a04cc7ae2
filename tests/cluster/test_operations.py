"""docs/operations.md, "An empty cluster": its commands in their order, as they are printed there.

What stands between the page's own words and what is run here is in ``_run``: nothing else is
changed. Images are this machine's own (``k8s/cluster.sh images``), or those that
``COTI_CLUSTER_IMAGES`` names, a file of lines ``name=image@sha256:…``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubectl import Cluster
from tests.cluster.overlay import run_file, write_overlay
from tests.cluster.page import commands
from tests.e2e.conftest import TINY
from tests.servers.processes import api_key

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SPACES = ("coti", "coti-run", "coti-ingest", "coti-train")
NAMES = {
    "coti": "coti",
    "postgres": "postgres",
    "mysql": "mysql",
    "chrislusf/seaweedfs": "seaweedfs",
}


@pytest.fixture(scope="module")
def images(cluster: Cluster) -> dict[str, str]:
    """Name in the manifests -> image with its digest."""
    if file := os.environ.get("COTI_CLUSTER_IMAGES"):
        lines = Path(file).read_text(encoding="utf-8").split()
        return dict(line.split("=", 1) for line in lines)
    if not cluster.own:
        pytest.skip("set COTI_CLUSTER_IMAGES: another cluster has no images of this machine")
    script = str(ROOT / "k8s" / "cluster.sh")
    subprocess.run([script, "images"], check=True)
    said = subprocess.run([script, "status"], check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^(localhost/coti/(\S+)@\S+)$", said, flags=re.MULTILINE)
    found = {name: image for image, name in lines}
    return {name: found[own] for name, own in NAMES.items()}


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Steps 2 and 3: secrets, then everything else, all of it ready."""
    folder = tmp_path_factory.mktemp("operations")
    (api,) = cluster.get("endpoints", "kubernetes")["subsets"][0]["addresses"]
    write_overlay(folder, images, run_file("kubernetes_cpu.yaml", TINY), api["ip"])
    (secrets,) = commands("An empty cluster", 2)
    _run(cluster, folder, secrets)
    everything, _registry = commands("An empty cluster", 3)
    _run(cluster, folder, everything)
    yield folder
    for space in SPACES:
        cluster.kubectl("delete", "namespace", space, "--wait=false")
    for space in SPACES:
        cluster.kubectl("wait", "--for=delete", f"namespace/{space}", "--timeout=180s")


def _run(cluster: Cluster, folder: Path, script: str, seconds: float = 900) -> str:
    """A block of the page, with this overlay, without the lines for other providers."""
    script = re.sub(r"^aws .*not for dev.*$", ":", script, flags=re.MULTILINE)
    script = script.replace("k8s/overlays/gpu ", "k8s/overlays/test ")
    process = subprocess.Popen(
        ["bash", "-euc", script],
        cwd=folder,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"no end within {seconds:.0f} s: {process.communicate()[0]}") from None
    assert process.returncode == 0, said
    return said


def test_everything_is_ready(cluster: Cluster, installed: Path) -> None:
    """Object store, both databases, MLflow and ZenML, each in its one pod."""
    pods = cluster.get("-n", "coti", "pods")["items"]
    ready = {
        pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for pod in pods
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    }
    assert ready == {"seaweedfs", "postgres", "mysql", "mlflow", "zenml"}


def test_namespaces_are_as_closed_as_they_say(cluster: Cluster, installed: Path) -> None:
    """Pod Security is enforced in all four; each has a quota and denies what no policy allows."""
    for space in SPACES:
        labels = cluster.get("namespace", space)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert (
            cluster.get("-n", space, "resourcequota")["items"][0]["status"]["hard"]["pods"] == "100"
        )
        policies = cluster.get("-n", space, "networkpolicy")["items"]
        assert "default-deny" in {each["metadata"]["name"] for each in policies}


REFUSED = (
    ("coti-train/coti-train", "get", "secrets", "-n", "coti-train"),
    ("coti-train/coti-train", "create", "pods", "-n", "coti-train"),
    ("coti-ingest/coti-ingest", "get", "secrets", "-n", "coti-ingest"),
    ("coti-ingest/coti-ingest", "list", "namespaces"),
    ("coti-run/coti-controller", "get", "secrets", "-n", "coti-run"),
    ("coti-run/coti-controller", "create", "jobs", "-n", "coti"),
    ("coti-run/coti-controller", "create", "jobs", "-n", "coti-run"),
    ("coti-run/coti-retrain", "get", "secrets", "-n", "coti-run"),
    ("coti-run/coti-retrain", "patch", "secrets", "-n", "coti-run"),
    ("coti-run/coti-retrain", "create", "jobs", "-n", "coti-train"),
    ("coti-run/coti-retrain", "create", "pods/exec", "-n", "coti"),
    ("coti/coti-server", "get", "pods", "-n", "coti"),
    ("coti/coti-server", "create", "secrets", "-n", "coti"),
)
ALLOWED = (
    ("coti-run/coti-retrain", "create", "jobs", "-n", "coti-run"),
    ("coti-run/coti-retrain", "create", "secrets", "-n", "coti-train"),
    ("coti-run/coti-controller", "create", "jobs", "-n", "coti-train"),
    ("coti-run/coti-controller", "create", "jobs", "-n", "coti-ingest"),
)


def test_an_account_may_what_it_needs_and_nothing_else(cluster: Cluster, installed: Path) -> None:
    """docs/operations.md, "Who can do what", answered by the cluster itself."""
    assert [each for each in REFUSED if cluster.may(*each)] == []
    assert [each for each in ALLOWED if not cluster.may(*each)] == []


@pytest.fixture(scope="module")
def first_run(cluster: Cluster, installed: Path) -> str:
    """Steps 4 and 5: the key, then the CronJob's own Job; what that said.

    The page logs in by a browser; here the server's API is asked for the same key.
    """
    block = commands("An empty cluster", 4)[0]
    (show,) = re.findall(r"^kubectl .* get secret coti-zenml .*$", block, flags=re.MULTILINE)
    (forward,) = re.findall(r"^kubectl .* port-forward .*$", block, flags=re.MULTILINE)
    (patch,) = re.findall(r"^kubectl .* patch secret .*$", block, flags=re.MULTILINE)
    password = _run(cluster, installed, show)
    words = forward.removesuffix("&").replace(" 8080", " 18080:8080").split()
    with subprocess.Popen(words, env=cluster.environment, stdout=subprocess.PIPE) as forwarding:
        assert forwarding.stdout is not None
        forwarding.stdout.readline()
        try:
            key = api_key("http://127.0.0.1:18080", password)
        finally:
            forwarding.terminate()
    _run(cluster, installed, patch.replace("ZENKEY_…", key))
    return _run(cluster, installed, commands("An empty cluster", 5)[0], seconds=2400)


def test_the_first_run_promotes_the_first_version(cluster: Cluster, first_run: str) -> None:
    """Submitted from inside; the controller's pod and one a step; the Job ends well."""
    assert "promoted" in first_run
    cluster.kubectl(
        "-n", "coti-run", "wait", "--for=condition=complete", "job/first", "--timeout=60s"
    )
    steps = {
        space: [pod["status"]["phase"] for pod in cluster.get("-n", space, "pods")["items"]]
        for space in ("coti-ingest", "coti-train")
    }
    assert set(steps["coti-ingest"]) == set(steps["coti-train"]) == {"Succeeded"}
    assert len(steps["coti-train"]) >= 4


def test_any_command_is_the_same_job_with_other_words(
    cluster: Cluster, installed: Path, first_run: str
) -> None:
    """The page's `coti_job`, with its three examples."""
    said = _run(cluster, installed, commands("An empty cluster", 5)[1], seconds=1200)
    assert "ankle-boot" in said
    assert "FAIL" not in said
