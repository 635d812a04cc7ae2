"""Manifests: valid for Kubernetes, within "restricted", and as closed as they say."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.k8s.restricted import pod_specs, problems

K8S = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS = ("dev", "gpu", "kubeflow")
VERSION = "1.32"
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")


@cache
def _built(overlay: str) -> list[dict[str, Any]]:
    """The overlay as kustomize builds it; without kubectl, its plain files."""
    if shutil.which("kubectl"):
        done = subprocess.run(
            ["kubectl", "kustomize", str(K8S / "overlays" / overlay)],
            capture_output=True,
            text=True,
            check=True,
        )
        return [each for each in yaml.safe_load_all(done.stdout) if each]
    files = [*(K8S / "base").glob("*.yaml"), *(K8S / "overlays" / overlay).glob("*.yaml")]
    return [
        each
        for path in files
        if path.name != "kustomization.yaml"
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def _named(overlay: str, kind: str) -> Iterator[dict[str, Any]]:
    return (each for each in _built(overlay) if each["kind"] == kind)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid(overlay: str) -> None:
    """Against the API's own schema, strictly: an unknown key fails."""
    assert len(_built(overlay)) > 20
    for manifest in _built(overlay):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_within_restricted(overlay: str) -> None:
    """And has a read-only root, requests, limits, and an identity of ours."""
    pods = [(m, *pod) for m in _built(overlay) for pod in pod_specs(m)]
    assert len(pods) >= 5
    for manifest, meta, spec in pods:
        assert problems(spec) == [], manifest["metadata"]["name"]
        assert spec["serviceAccountName"].startswith("coti-")
        assert "coti.dev/role" in meta["labels"]


def test_the_namespace_enforces_restricted() -> None:
    """Not only our own manifests: anything that is started there."""
    (namespace,) = _named("gpu", "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_is_written_down() -> None:
    """Secrets are referred to by name; no manifest holds one."""
    for overlay in OVERLAYS:
        assert not list(_named(overlay, "Secret"))
        for manifest in _built(overlay):
            for _, spec in pod_specs(manifest):
                for container in spec["containers"]:
                    for each in container.get("env", []):
                        name = each["name"].removeprefix("ZENML_SECRETS_STORE_TYPE")
                        secret = any(w in name for w in ("PASSWORD", "SECRET_", "_KEY"))
                        assert not (secret and "value" in each), each["name"]


def test_the_network_is_closed_by_default_and_opened_by_role() -> None:
    """Default deny both ways; only ingestion reaches the internet, and never a private range."""
    policies = {each["metadata"]["name"]: each["spec"] for each in _named("gpu", "NetworkPolicy")}
    deny = policies["default-deny"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        for rule in spec.get("egress", []):
            assert rule.get("to"), f"{name} opens everything"
            for peer in rule["to"]:
                block = peer.get("ipBlock")
                if block is None or block["cidr"] != "0.0.0.0/0":
                    continue
                assert spec["podSelector"]["matchLabels"] == {"coti.dev/role": "ingest"}
                refused = [ipaddress.ip_network(each) for each in block["except"]]
                for private in PRIVATE:
                    network = ipaddress.ip_network(private)
                    assert any(network.subnet_of(each) for each in refused), private


def test_steps_have_no_rights_in_the_cluster_and_the_others_few() -> None:
    """No wildcard, no cluster role, no rights at all for coti-step and coti-server."""
    assert not list(_named("gpu", "ClusterRole"))
    assert not list(_named("gpu", "ClusterRoleBinding"))
    for role in _named("gpu", "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
    bound = {s["name"] for b in _named("gpu", "RoleBinding") for s in b["subjects"]}
    assert bound == {"coti-controller", "coti-retrain"}
    for account in _named("gpu", "ServiceAccount"):
        if account["metadata"]["name"] in ("coti-step", "coti-server"):
            assert account["automountServiceAccountToken"] is False


def test_the_check_itself_sees_what_it_must() -> None:
    """A bare pod breaks every rule."""
    said = " ".join(problems({"hostNetwork": True, "containers": [{"name": "x"}]}))
    for word in ("hostNetwork", "runAsNonRoot", "seccomp", "Escalation", "capabilities", "limits"):
        assert word in said
