"""What ZenML's Kubernetes orchestrator makes of our pipeline: Jobs.

Compiled and submitted in process, up to the call that would reach a cluster (see
``tests/k8s/capture.py`` for what is replaced and why): there is no cluster here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from ops.stack.pods import STEP_NAMESPACES
from tests.k8s.access import run_file_pods, secrets_of
from tests.k8s.capture import CPU_IMAGE, GPU_STEPS, IMAGE, PLANTED, captured_by
from tests.k8s.restricted import pod_specs, problems

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the run files of the CronJobs in overlays/gpu and overlays/dev make ZenML submit."""
    return captured_by("kubernetes", tmp_path_factory.mktemp("kubernetes"))


def _retries(folder: Path, overlay: str) -> dict[str, int]:
    """Isolated step -> how often ZenML starts it again; a Job's own count is for one attempt."""
    return dict(json.loads((folder / f"{overlay}.retries.json").read_text()))


def _jobs(folder: Path, overlay: str) -> dict[str, dict[str, Any]]:
    """Role or step -> Job."""
    found = json.loads((folder / f"{overlay}.jobs.json").read_text())
    return {
        job["metadata"]["annotations"].get("zenml.io/step-name")
        or job["spec"]["template"]["metadata"]["labels"].get("step_name", "controller"): job
        for job in found
    }


@pytest.fixture(params=["gpu", "dev"])
def jobs(captured: Path, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Those of each overlay."""
    return _jobs(captured, request.param)


def test_every_job_is_valid_and_within_restricted(jobs: dict[str, dict[str, Any]]) -> None:
    """The controller's and each isolated step's."""
    assert set(jobs) == {
        "controller",
        "ingest_pool",
        "embed_pool",
        *GPU_STEPS,
    }
    for name, job in jobs.items():
        kubernetes_validate.validate(job, "1.32", strict=True)
        ((_, spec),) = pod_specs(job)
        assert problems(spec) == [], name
        image = CPU_IMAGE if name in ("ingest_pool", "embed_pool") else IMAGE
        assert spec["containers"][0]["image"] == image


def test_what_runs_a_model_on_images_is_on_gpu_nodes_and_survive_a_spot_node(
    captured: Path,
) -> None:
    """Selector, tolerations, one GPU, shared memory, time to write a checkpoint, retries."""
    jobs = _jobs(captured, "gpu")
    for name in GPU_STEPS:
        ((_, spec),) = pod_specs(jobs[name])
        assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        keys = {each["key"] for each in spec["tolerations"]}
        assert {"nvidia.com/gpu", "coti.dev/spot"} <= keys
        assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        shm = next(v for v in spec["volumes"] if v["name"] == "shm")
        assert shm["emptyDir"]["medium"] == "Memory"
        assert spec["terminationGracePeriodSeconds"] == 120
        # ZenML's retries alone: the Job's own would multiply with them.
        assert jobs[name]["spec"]["backoffLimit"] == 0
    for name in ("ingest_pool", "embed_pool", "controller"):
        ((_, spec),) = pod_specs(jobs[name])
        assert "nodeSelector" not in spec
        assert "nvidia.com/gpu" not in spec["containers"][0]["resources"]["limits"]


def test_without_gpus_the_same_pods_want_none(captured: Path) -> None:
    """overlays/dev: any node will do, and the time and tries to go on are the same."""
    for job in _jobs(captured, "dev").values():
        assert "nvidia" not in json.dumps(job)
        ((_, spec),) = pod_specs(job)
        assert "nodeSelector" not in spec
        assert spec["terminationGracePeriodSeconds"] == 120
    assert _jobs(captured, "dev")["train_cycle"]["spec"]["backoffLimit"] == 0


@pytest.mark.parametrize("overlay", ["gpu", "dev"])
def test_the_controller_says_who_promotes(captured: Path, overlay: str) -> None:
    """Its pod's name would say nothing in the registry's audit trail."""
    ((_, spec),) = pod_specs(_jobs(captured, overlay)["controller"])
    found = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    assert found["COTI_ACTOR"] == "controller"


@pytest.mark.parametrize("overlay", ["gpu", "dev"])
def test_a_pod_may_use_all_of_its_tmp(captured: Path, overlay: str) -> None:
    """The kubelet counts emptyDir as a container's ephemeral storage; above its limit it evicts."""
    for name, job in _jobs(captured, overlay).items():
        ((_, spec),) = pod_specs(job)
        tmp = next(v for v in spec["volumes"] if v["name"] == "tmp")["emptyDir"]["sizeLimit"]
        limit = spec["containers"][0]["resources"]["limits"]["ephemeral-storage"]
        assert int(limit.removesuffix("Gi")) > int(tmp.removesuffix("Gi")), name


@pytest.mark.parametrize("overlay", ["gpu", "dev"])
def test_a_step_is_started_again(captured: Path, overlay: str) -> None:
    """Often enough for some spot nodes to leave in mid-training."""
    expected = {"ingest_pool": 2, "embed_pool": 2, **dict.fromkeys(GPU_STEPS, 6)}
    assert _retries(captured, overlay) == expected


def test_roles_and_identities(jobs: dict[str, dict[str, Any]]) -> None:
    """The network policies' labels, an identity and a namespace by role; none may start pods but
    the controller."""
    for name, job in jobs.items():
        ((meta, spec),) = pod_specs(job)
        role = {"controller": "controller", "ingest_pool": "ingest"}.get(name, "train")
        assert meta["labels"]["coti.dev/role"] == role
        assert spec["serviceAccountName"] == f"coti-{role}"
        where = STEP_NAMESPACES.get(role, "coti-run")
        assert job["metadata"]["namespace"] == where
        if name != "controller":
            assert spec["automountServiceAccountToken"] is False


def test_no_secret_is_in_a_job(jobs: dict[str, dict[str, Any]]) -> None:
    """Only names of Kubernetes secrets: a run's ZenML token, and what its role is given."""
    assert not any(word in json.dumps(jobs) for word in PLANTED)
    pods = {pod.role: pod.secrets for pod in run_file_pods("gpu")}
    for name, job in jobs.items():
        ((meta, spec),) = pod_specs(job)
        env = {each["name"]: each for each in spec["containers"][0]["env"]}
        reference = env["ZENML_STORE_API_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert reference["name"], name
        wanted = pods[meta["labels"]["coti.dev/role"]]
        assert set(secrets_of(spec)) - {reference["name"]} == wanted, name


@pytest.mark.parametrize("overlay", ["gpu", "dev"])
def test_the_runs_token_is_where_its_pods_are(captured: Path, overlay: str) -> None:
    """In each of their namespaces, under the name that they refer to; ZenML's store has nothing."""
    tokens = {tuple(each) for each in json.loads((captured / f"{overlay}.tokens.json").read_text())}
    needed = set()
    for job in _jobs(captured, overlay).values():
        ((_, spec),) = pod_specs(job)
        env = {each["name"]: each for each in spec["containers"][0]["env"]}
        name = env["ZENML_STORE_API_TOKEN"]["valueFrom"]["secretKeyRef"]["name"]
        needed.add((job["metadata"]["namespace"], name))
    assert tokens == needed
    assert len(tokens) == 3
    assert json.loads((captured / "stored.json").read_text()) == []
