"""Manifests: valid for Kubernetes, within "restricted", and as closed as they say."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes.utils import parse_quantity
from mlflow.server.security_utils import is_allowed_host_header

from ops.stack.pods import ROLE, STEP_NAMESPACES
from ops.stack.stack_files import read_stack
from tests.k8s.capture import GPU_STEPS, ROOT, RUN_FILES
from tests.k8s.restricted import pod_specs, problems

K8S = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS = ("dev", "gpu", "kubeflow")
FILES = sorted(path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml")
VERSION = "1.32"
PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
    *("168.63.129.16/32", "192.0.0.192/32", "192.88.99.0/24", "100.64.0.0/10"),
)


def _plain(path: Path) -> Iterator[dict[str, Any]]:
    """A file's manifests as they stand."""
    return (each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each)


def test_a_container_may_use_all_of_its_pods_volumes() -> None:
    """The kubelet counts them as ephemeral storage; above the limit, or the default, it evicts."""
    (ranges,) = (
        m for m in _plain(K8S / "base" / "closed" / "namespace.yaml") if m["kind"] == "LimitRange"
    )
    default = ranges["spec"]["limits"][0]["default"]
    seen = 0
    for path in FILES:
        for _, spec in (pod for manifest in _plain(path) for pod in pod_specs(manifest)):
            folders = [each["emptyDir"] for each in spec.get("volumes", []) if "emptyDir" in each]
            sizes = [each["sizeLimit"] for each in folders if each.get("medium") != "Memory"]
            for container in spec["containers"]:
                limits = default | container["resources"]["limits"]
                limit = parse_quantity(limits["ephemeral-storage"])
                assert limit > sum(map(parse_quantity, sizes)), f"{path.name}: {container['name']}"
                seen += 1
    assert seen >= 6


@cache
def built(overlay: str) -> list[dict[str, Any]]:
    """The overlay as kustomize builds it."""
    if shutil.which("kubectl") is None:
        pytest.skip(
            "no kubectl (1.22 or newer: older ones know no `replacements`), so no overlay is built"
        )
    done = subprocess.run(
        ["kubectl", "kustomize", str(K8S / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _named(overlay: str, kind: str) -> Iterator[dict[str, Any]]:
    return (each for each in built(overlay) if each["kind"] == kind)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_file_is_valid_as_it_stands(path: Path) -> None:
    """Needs no kubectl; what the overlays make of the files, the tests below see."""
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid(overlay: str) -> None:
    """Against the API's own schema, strictly: an unknown key fails."""
    assert len(built(overlay)) > 20
    for manifest in built(overlay):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_within_restricted(overlay: str) -> None:
    """And has a read-only root, requests, limits, and an identity of ours."""
    pods = [(m, *pod) for m in built(overlay) for pod in pod_specs(m)]
    assert len(pods) >= 5
    for manifest, meta, spec in pods:
        assert problems(spec) == [], manifest["metadata"]["name"]
        assert spec["serviceAccountName"].startswith("coti-")
        assert "coti.dev/role" in meta["labels"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_namespace_enforces_restricted_and_begins_closed(overlay: str) -> None:
    """Not only our own manifests: anything that is started there."""
    namespaces = {m["metadata"]["name"]: m["metadata"] for m in _named(overlay, "Namespace")}
    assert set(namespaces) == {"coti", "coti-run", "coti-ingest", "coti-train"}
    for name, meta in namespaces.items():
        assert meta["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        (deny,) = (
            m["spec"]
            for m in _named(overlay, "NetworkPolicy")
            if m["metadata"] == {"name": "default-deny", "namespace": name}
        )
        assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_is_named_by_its_digest(overlay: str) -> None:
    """Ours and the databases'; until somebody has looked it up, by one that no image has."""
    images = [c["image"] for m in built(overlay) for _, s in pod_specs(m) for c in s["containers"]]
    assert len(images) >= 5
    for image in images:
        assert re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", image), image


def test_no_secret_is_written_down() -> None:
    """Secrets are referred to by name; no manifest holds one."""
    for overlay in OVERLAYS:
        assert not list(_named(overlay, "Secret"))
        for manifest in built(overlay):
            for _, spec in pod_specs(manifest):
                for container in spec["containers"]:
                    for each in container.get("env", []):
                        name = each["name"].removeprefix("ZENML_SECRETS_STORE_TYPE")
                        secret = any(w in name for w in ("PASSWORD", "SECRET_", "_KEY"))
                        assert not (secret and "value" in each), each["name"]


def test_only_ingestion_reaches_the_internet_and_never_a_private_range() -> None:
    """Nor the addresses of a cloud's own that count as public."""
    for policy in _named("gpu", "NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        for rule in spec.get("egress", []):
            assert rule.get("to"), f"{name} opens everything"
            for peer in rule["to"]:
                block = peer.get("ipBlock")
                if block is None or block["cidr"] != "0.0.0.0/0":
                    continue
                assert policy["metadata"]["namespace"] == "coti-ingest"
                assert spec["podSelector"]["matchLabels"] == {"coti.dev/role": "ingest"}
                refused = [ipaddress.ip_network(each) for each in block["except"]]
                for private in PRIVATE:
                    network = ipaddress.ip_network(private)
                    assert any(network.subnet_of(each) for each in refused), private


DNS = {"kube-system/kube-dns:53", "kube-system/kube-dns:53/UDP"}
ZENML = {"coti/zenml:8080"} | DNS
MLFLOW = {"coti/mlflow:5000"}
STORE = {"dev": "coti/seaweedfs:8333", "gpu": "192.0.2.0/24:443", "kubeflow": "192.0.2.0/24:443"}
API = {"10.96.0.1/32:443", "10.96.0.1/32:6443"}
INTERNET = {"0.0.0.0/0:80", "0.0.0.0/0:443"}


def _egress(overlay: str) -> dict[str, set[str]]:
    """Role, or a server's name -> all that it may reach."""
    store = STORE[overlay]
    kubeflow = {"kubeflow/ml-pipeline:8888"} if overlay == "kubeflow" else set()
    return {
        "train": ZENML | {store},
        "ingest": ZENML | {store} | INTERNET,
        "controller": ZENML | MLFLOW | {store} | API,
        "retrain": ZENML | MLFLOW | {store} | API | kubeflow,
        "mlflow": DNS | {store, "postgres:5432"},
        "zenml": DNS | {"mysql:3306"},
        "postgres": DNS,
        "mysql": DNS,
        **({"seaweedfs": DNS} if overlay == "dev" else {}),
    }


def _pods(overlay: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Role, or a server's name -> its pods' namespace and labels; ZenML starts the first three."""
    roles = {
        role: (STEP_NAMESPACES.get(role, "coti-run"), {ROLE: role})
        for role in ("train", "ingest", "controller")
    }
    found = [
        (m["metadata"]["namespace"], meta["labels"])
        for m in built(overlay)
        for meta, _ in pod_specs(m)
    ]
    return roles | {labels["app.kubernetes.io/name"]: (where, labels) for where, labels in found}


def _reached(
    policies: Iterable[dict[str, Any]], namespace: str, labels: dict[str, str]
) -> set[str]:
    """Where a pod with these labels may go, all policies of its namespace together."""
    found = set()
    for policy in policies:
        if policy["metadata"]["namespace"] != namespace:
            continue
        if not _selects(policy["spec"]["podSelector"], labels):
            continue
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                for port in rule["ports"]:
                    udp = "/UDP" if port["protocol"] == "UDP" else ""
                    last = f"-{port['endPort']}" if "endPort" in port else ""
                    found.add(f"{_place(peer)}:{port['port']}{last}{udp}")
    return found


def _place(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    names = []
    for kind in ("namespaceSelector", "podSelector"):
        if kind in peer:
            assert set(peer[kind]) == {"matchLabels"}, "selects more than one kind of pod"
            (name,) = peer[kind]["matchLabels"].values()
            names.append(str(name))
    return "/".join(names)


NAME = "kubernetes.io/metadata.name"


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In", "this test knows no other operator"
        wanted = wanted and labels.get(each["key"]) in each["values"]
    return wanted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_role_reaches_what_it_needs_and_nothing_else(overlay: str) -> None:
    """All that any policy of the overlay opens, by role."""
    policies = list(_named(overlay, "NetworkPolicy"))
    assert {name: _reached(policies, *pod) for name, pod in _pods(overlay).items()} == _egress(
        overlay
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("selector", [{}, {"matchLabels": {"coti.dev/role": "train"}}])
def test_one_more_policy_would_be_seen(overlay: str, selector: dict[str, Any]) -> None:
    """A private range opened to training, or to all: the test above would fail."""
    peer = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    rule = {"to": [peer], "ports": [{"protocol": "TCP", "port": 443}]}
    place = {"name": "wider", "namespace": "coti-train"}
    wider = {"metadata": place, "spec": {"podSelector": selector, "egress": [rule]}}
    policies = [*_named(overlay, "NetworkPolicy"), wider]
    reached = _reached(policies, *_pods(overlay)["train"])
    assert reached == _egress(overlay)["train"] | {"10.0.0.0/8:443"}


@pytest.mark.parametrize("overlay", ["dev", "gpu"])
def test_mlflow_and_the_store_let_in_whom_they_must_and_nobody_else(overlay: str) -> None:
    """The other side of each policy above: from which namespace and role."""
    policies = list(_named(overlay, "NetworkPolicy"))
    for server in ("mlflow", "zenml", "postgres", "mysql", *(["seaweedfs"] * (overlay == "dev"))):
        where, labels = _pods(overlay)[server]
        allowed = {
            name
            for name, (namespace, theirs) in _pods(overlay).items()
            for policy in policies
            if policy["metadata"]["namespace"] == where
            and _selects(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("ingress", [])
            for peer in rule["from"]
            if _selects(peer["podSelector"], theirs)
            and _selects(
                peer.get("namespaceSelector", {"matchLabels": {NAME: where}}), {NAME: namespace}
            )
        }
        reaching = {
            name for name, places in _egress(overlay).items()
            if any(re.match(rf"(coti/)?{server}:", place) for place in places)
        }  # fmt: skip
        assert allowed == reaching, server


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_retraining_can_submit(overlay: str) -> None:
    """From within the cluster, a run file whose pods tests/k8s/test_compiled.py looks at, with the
    image that the CronJob itself has."""
    (job,) = _named(overlay, "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    kind = "kubeflow" if overlay == "kubeflow" else "kubernetes"
    words = container["command"]
    assert words[1:5] == ["retrain", RUN_FILES[overlay], "--stack", kind]
    (settings,) = (
        each for each in _named(overlay, "ConfigMap") if each["metadata"]["name"] == "coti-settings"
    )
    assert settings["data"]["COTI_IMAGE"] == container["image"]
    assert settings["data"]["COTI_CPU_IMAGE"] == container["image"]
    given = {each["name"]: each.get("value", "set") for each in container["env"]}
    given |= settings["data"]
    # Pods are given these too; Kubeflow's are in another namespace.
    assert given["ZENML_STORE_URL"] == "http://zenml.coti:8080"
    assert given["MLFLOW_TRACKING_URI"] == "http://mlflow.coti:5000"
    folder = K8S.parent / "configs" / "stacks"
    stack = read_stack(folder, kind, given, {"root": "/app", "stores": "/tmp"})
    (orchestrator,) = (each for each in stack.components if each.kind == "orchestrator")
    assert orchestrator.config["incluster" if kind == "kubernetes" else "synchronous"] is True
    kept = {"coti-s3-kubeflow", "coti-mlflow-kubeflow"} if kind == "kubeflow" else set()
    assert set(stack.secrets) == kept, "pods on Kubernetes have their own"


def test_a_job_by_hand_is_the_cronjobs_with_other_words_and_who_acts(tmp_path: Path) -> None:
    """docs/operations.md's `coti_job` with the real jq; kubectl makes and takes the Job."""
    if shutil.which("jq") is None:
        pytest.skip("no jq: `coti_job` is not run")
    text = (K8S.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    function = text[text.index("    coti_job() {") :]
    function = function[: function.index("\n    }\n") + 7]
    (cronjob,) = _plain(K8S / "base" / "coti-run" / "retrain.yaml")
    before = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "promote"},
        **cronjob["spec"]["jobTemplate"],
    }
    made = tmp_path / "made.json"
    made.write_text(json.dumps(before), encoding="utf-8")
    stand_in = (
        'kubectl() { case "$*" in *create*) cat made.json;; *apply*) cat > taken.json;; esac; }'
    )
    subprocess.run(
        [
            "bash",
            "-euc",
            f"{stand_in}\n{function}\ncoti_job promote registry promote 'ankle boot' 1",
        ],
        cwd=tmp_path,
        env={**os.environ, "COTI_ACTOR": "ada"},
        check=True,
    )
    after = json.loads((tmp_path / "taken.json").read_text(encoding="utf-8"))
    kubernetes_validate.validate(after, VERSION, strict=True)
    (was,) = before["spec"]["template"]["spec"]["containers"]
    (container,) = after["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["/bin/sh", "-c"]
    assert container["command"][3:] == ["coti", "registry", "promote", "ankle boot", "1"]
    others = [each for each in was["env"] if each["name"] != "COTI_ACTOR"]
    assert container["env"] == [*others, {"name": "COTI_ACTOR", "value": "ada"}]
    assert after["spec"]["backoffLimit"] == 0
    for key in set(was) - {"command", "env"}:
        assert container[key] == was[key]


def test_without_gpus_all_else_is_the_same() -> None:
    """configs/kubernetes_cpu.yaml is configs/kubernetes.yaml but for what GPU steps ask for."""
    with_gpus, without = (
        yaml.safe_load((K8S.parent / RUN_FILES[overlay]).read_text(encoding="utf-8"))
        for overlay in ("gpu", "dev")
    )
    for step in GPU_STEPS:
        pod = with_gpus["steps"][step]["settings"]["orchestrator"]["pod_settings"]
        for key in ("node_selectors", "tolerations"):
            pod.pop(key, None)
        pod["resources"] = with_gpus["settings"]["orchestrator"]["pod_settings"]["resources"]
    assert with_gpus == without


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_settings_by_step_name_a_step(path: Path) -> None:
    """ZenML passes over those of a step that there is none of; ``_2`` is of cycle 2, of which
    tests/pipelines says more."""
    named = yaml.safe_load(path.read_text(encoding="utf-8")).get("steps", {})
    steps = {path.stem for path in (ROOT / "steps").glob("*.py")} | {"embed_whole_pool"}
    assert {re.sub(r"_\d+$", "", name) for name in named} <= steps


def test_mlflow_takes_its_own_names_and_no_other() -> None:
    """MLflow compares the whole Host header, port and all."""
    (server,) = (
        each for each in _named("gpu", "Deployment") if each["metadata"]["name"] == "mlflow"
    )
    (container,) = server["spec"]["template"]["spec"]["containers"]
    values = {each["name"]: each.get("value", "") for each in container["env"]}
    allowed = values["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for host in ("mlflow", "mlflow:5000", "mlflow.coti:5000", "mlflow.coti.svc:5000"):
        assert is_allowed_host_header(allowed, host), host
    for host in ("elsewhere.example", "mlflow.elsewhere:5000", ""):
        assert not is_allowed_host_header(allowed, host), host


def test_the_development_store_is_reached_from_other_pods() -> None:
    """Bound to the pod's address, not to its loopback."""
    (server,) = (
        each for each in _named("dev", "StatefulSet") if each["metadata"]["name"] == "seaweedfs"
    )
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert "-ip.bind=0.0.0.0" in container["args"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rights_are_few_and_written_out(overlay: str) -> None:
    """No wildcard, no cluster role, no right to widen one's own; steps, servers have no token."""
    assert not list(_named(overlay, "ClusterRole"))
    assert not list(_named(overlay, "ClusterRoleBinding"))
    for role in _named(overlay, "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert set(rule["resources"]) <= {"jobs", "pods", "pods/log", "secrets"}
    for account in _named(overlay, "ServiceAccount"):
        if account["metadata"]["name"] in ("coti-ingest", "coti-train", "coti-server"):
            assert account["automountServiceAccountToken"] is False


def test_the_check_itself_sees_what_it_must() -> None:
    """A bare pod breaks every rule."""
    said = " ".join(problems({"hostNetwork": True, "containers": [{"name": "x"}]}))
    for word in ("hostNetwork", "runAsNonRoot", "seccomp", "Escalation", "capabilities", "limits"):
        assert word in said
