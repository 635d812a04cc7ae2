"""NetworkPolicies are enforced, names are found, a service leads to its pod on another node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.kubectl import Cluster, Refused
from tests.cluster.test_admission import RESTRICTED

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SPACE = "coti-network"
IMAGE = "localhost/coti/seaweedfs:1"
"""One that has Python in it."""
ASK = "import urllib.request as u; print(u.urlopen('http://{}:8000', timeout=3).status)"


def _pod(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "one", "image": IMAGE, "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"name": name}},
        "spec": {
            "containers": [{**container, "securityContext": RESTRICTED}],
            "terminationGracePeriodSeconds": 0,
            **spec,
        },
    }


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[str]:
    """A server, and two clients of which the second is on the node with the GPU's taint."""
    if not cluster.own:
        pytest.skip("its image is this machine's cluster's own")
    cluster.kubectl("create", "namespace", SPACE)
    wait = ("sleep", "10000")
    gpu = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    server = _pod("server", "python3", "-m", "http.server", "-d", "/etc/ssl", "8000")
    listening = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    server["spec"]["containers"][0]["readinessProbe"] = listening
    pods = [
        server,
        _pod("friend", *wait),
        _pod("stranger", *wait),
        _pod("far", *wait, nodeSelector={"nvidia.com/gpu.present": "true"}, tolerations=gpu),
    ]
    spec = {"selector": {"name": "server"}, "ports": [{"port": 8000}]}
    service = {"apiVersion": "v1", "kind": "Service", "spec": spec}
    cluster.until("an account", "-n", SPACE, "get", "sa", "default", "--ignore-not-found")
    named = {**service, "metadata": {"name": "server", "namespace": SPACE}}
    cluster.kubectl("apply", "-f", "-", given=[*pods, named])
    for pod in ("server", "friend", "stranger", "far"):
        cluster.kubectl("-n", SPACE, "wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=90s")
    yield SPACE
    cluster.kubectl("delete", "namespace", SPACE)


def _ask(cluster: Cluster, client: str) -> bool:
    words = ("exec", client, "--", "python3", "-c", ASK.format(f"server.{SPACE}"))
    try:
        return cluster.kubectl("-n", SPACE, *words).strip() == "200"
    except Refused as error:
        if "timed out" in str(error) or "refused" in str(error):
            return False
        raise


def test_only_whom_a_policy_names_reaches_a_pod(cluster: Cluster, space: str) -> None:
    """Before it all do, by the service's name, from another node as well; behind it one."""
    clients = ("friend", "stranger", "far")
    seen = [client for client in clients if _ask(cluster, client)]
    assert seen == ["friend", "stranger", "far"]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "server", "namespace": SPACE},
        "spec": {
            "podSelector": {"matchLabels": {"name": "server"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"name": "friend"}}}]}],
        },
    }
    cluster.kubectl("apply", "-f", "-", given=policy)
    for _ in range(30):
        if not _ask(cluster, "stranger"):
            break
    assert [client for client in clients if _ask(cluster, client)] == ["friend"]
