"""What the cluster lets in and what it refuses, asked of its API server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import STATE
from tests.cluster.kubectl import Cluster, Refused

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SPACE = "coti-test"
IMAGE = "localhost/coti/pause:1"
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[str]:
    """A namespace as closed as ours, with a quota of one pod and its service account."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    hard = {"pods": "1", "requests.nvidia.com/gpu": "0"}
    made = [
        {"kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}},
        {
            "kind": "ResourceQuota",
            "metadata": {"name": "one", "namespace": SPACE},
            "spec": {"hard": hard},
        },
    ]
    cluster.kubectl("apply", "-f", "-", given=[{"apiVersion": "v1", **each} for each in made])
    get = ("-n", SPACE, "get")
    cluster.until("a service account", *get, "sa", "default", "--ignore-not-found")
    cluster.until("a count", *get, "quota", "one", "-o", "jsonpath={.status.used.pods}")
    yield SPACE
    cluster.kubectl("delete", "namespace", SPACE)


def _pod(name: str, **container: Any) -> dict[str, Any]:
    made = {"name": "one", "image": IMAGE, "securityContext": RESTRICTED, **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"containers": [made], "terminationGracePeriodSeconds": 1},
    }


def test_a_pod_that_is_not_restricted_is_refused(cluster: Cluster, space: str) -> None:
    """By Pod Security's admission, with its reason."""
    with pytest.raises(Refused, match="violates PodSecurity"):
        cluster.kubectl("apply", "-f", "-", given=_pod("open", securityContext={}))


def test_a_restricted_pod_runs_and_a_second_one_is_over_the_quota(
    cluster: Cluster, space: str
) -> None:
    """Scheduled, started by kubelet and containerd; the quota counts it."""
    if not cluster.own:
        pytest.skip("its image is this machine's cluster's own")
    cluster.kubectl("apply", "-f", "-", given=_pod("first"))
    cluster.kubectl("-n", space, "wait", "--for=condition=Ready", "pod/first", "--timeout=90s")
    with pytest.raises(Refused, match="exceeded quota: one"):
        cluster.kubectl("apply", "-f", "-", given=_pod("second"))
    cluster.kubectl("-n", space, "delete", "pod", "first")


def test_a_gpu_beyond_the_quota_is_refused(cluster: Cluster, space: str) -> None:
    """A namespace of no GPU work gets none, whoever asks."""
    gpu = _pod("gpu", resources={"limits": {"nvidia.com/gpu": "1"}})
    with pytest.raises(Refused, match="exceeded quota: one"):
        cluster.kubectl("apply", "-f", "-", given=gpu)


def test_a_node_changes_no_other_node_and_reads_no_secret_it_does_not_run(cluster: Cluster) -> None:
    """NodeRestriction and the node authorizer, by a kubelet's own identity."""
    if not cluster.own:
        pytest.skip("another cluster's nodes keep their keys to themselves")
    gpu = Cluster(STATE / "pki" / "gpu.kubeconfig", own=True)
    with pytest.raises(Refused, match="only its own Node object"):
        gpu.kubectl("label", "node", "main", "owned=yes")
    with pytest.raises(Refused, match="is not allowed to modify labels"):
        gpu.kubectl("label", "node", "gpu", "node-restriction.kubernetes.io/x=yes")
    with pytest.raises(Refused, match="no relationship found between node"):
        gpu.kubectl("-n", "kube-system", "get", "secret", "nobodys")


def test_a_secret_is_not_in_etcd_as_it_was_given(cluster: Cluster, space: str) -> None:
    """Encrypted at rest: what the API answers stands in no file of etcd's."""
    if not cluster.own:
        pytest.skip("another cluster's etcd is not ours to read")
    planted, plain = "planted-secret-4711", "planted-setting-4712"
    cluster.kubectl(
        "-n", space, "create", "secret", "generic", "planted", f"--from-literal=x={planted}"
    )
    cluster.kubectl("-n", space, "create", "configmap", "planted", f"--from-literal=x={plain}")
    found = cluster.get("-n", space, "secret", "planted")["data"]["x"]
    assert base64.b64decode(found).decode() == planted
    files = [path.read_bytes() for path in (STATE / "etcd").rglob("*") if path.is_file()]
    assert any(plain.encode() in each for each in files)
    assert not any(planted.encode() in each for each in files)
