"""Who can come by which secret: what the rules of a cluster allow, and what pods are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from ops.stack.pods import ROLE, STEP_NAMESPACES
from tests.k8s.capture import ROOT, RUN_FILES
from tests.k8s.restricted import pod_specs

__all__ = ["READS", "STARTS", "Pod", "manifest_pods", "reached", "run_file_pods", "secrets_of"]

READS = {"get", "list", "watch", "patch", "update", "deletecollection", "*"}
"""Verbs on a secret whose answer holds it: `patch` and `update` give the whole object back."""
STARTS = {"create", "patch", "update", "*"}
"""Verbs that start a pod, of what starts pods, or run something in one."""
_STARTING = {
    "pods", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "jobs", "cronjobs",
    "deployments", "statefulsets", "daemonsets", "replicasets", "replicationcontrollers", "*",
}  # fmt: skip
Secret = tuple[str, str]
"""Namespace and name."""
Account = tuple[str, str]


@dataclass(frozen=True)
class Pod:
    """A pod that is started in our name."""

    namespace: str
    account: str
    role: str
    secrets: frozenset[str]
    """Names of those that it mounts or has in its environment."""


def secrets_of(spec: dict[str, Any]) -> Iterator[str]:
    """Every secret that a pod's spec refers to, however deep."""

    def found(value: Any, key: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            if key in ("secretKeyRef", "secretRef"):
                yield value["name"]
            elif key == "secret" and "secretName" in value:
                yield value["secretName"]
            for name, each in value.items():
                yield from found(each, name)
        elif isinstance(value, list):
            for each in value:
                yield from found(each, key)

    return found(spec)


def manifest_pods(manifests: Iterable[dict[str, Any]]) -> Iterator[Pod]:
    """Those of an overlay's servers and of its CronJob."""
    for manifest in manifests:
        for meta, spec in pod_specs(manifest):
            role, account = meta["labels"][ROLE], spec["serviceAccountName"]
            secrets = frozenset(secrets_of(spec))
            yield Pod(manifest["metadata"]["namespace"], account, role, secrets)


def run_file_pods(overlay: str) -> Iterator[Pod]:
    """Those that ZenML starts for a run file: the controller's, and each role's of steps."""
    path = ROOT / RUN_FILES[overlay]
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    whole = content["settings"]["orchestrator"]
    given = [(whole["service_account_name"], whole["orchestrator_pod_settings"])]
    for step in content["steps"].values():
        own = step["settings"]["orchestrator"]
        given.append((own["service_account_name"], own["pod_settings"]))
    for account, pod in given:
        role = pod["labels"][ROLE]
        where = STEP_NAMESPACES.get(role, "coti-run")
        yield Pod(where, account, role, frozenset(secrets_of(pod)))


def reached(
    manifests: list[dict[str, Any]], pods: Iterable[Pod]
) -> dict[Account, frozenset[Secret]]:
    """Account -> every secret that it can come by, alone or as another that it can become.

    Who may start a pod in a namespace can mount every secret there and be every account there.
    """
    pods = list(pods)
    accounts = {
        (m["metadata"]["namespace"], m["metadata"]["name"])
        for m in manifests
        if m["kind"] == "ServiceAccount"
    }
    secrets = {(pod.namespace, name) for pod in pods for name in pod.secrets}
    had: dict[Account, set[Secret]] = {account: set() for account in accounts}
    becomes: dict[Account, set[Account]] = {account: set() for account in accounts}
    for pod in pods:
        had[pod.namespace, pod.account] |= {(pod.namespace, name) for name in pod.secrets}
    for account, namespace, rule in _rules(manifests):
        resources, verbs = set(rule["resources"]), set(rule["verbs"])
        there = {secret for secret in secrets if namespace in (secret[0], "*")}
        if resources & {"secrets", "*"} and verbs & READS:
            names = rule.get("resourceNames")
            had[account] |= {each for each in there if not names or each[1] in names}
        if resources & _STARTING and verbs & STARTS:
            had[account] |= there
            becomes[account] |= {each for each in accounts if namespace in (each[0], "*")}
    for _ in accounts:  # as often as the longest chain is long
        for account, others in becomes.items():
            for other in set(others):
                had[account] |= had[other]
                others |= becomes[other]
    return {account: frozenset(found) for account, found in had.items()}


def _rules(manifests: list[dict[str, Any]]) -> Iterator[tuple[Account, str, dict[str, Any]]]:
    """Account, the namespace that the rule is for (``*``: all), and the rule."""
    roles = {
        (m["kind"], m["metadata"].get("namespace", "*"), m["metadata"]["name"]): m["rules"]
        for m in manifests
        if m["kind"] in ("Role", "ClusterRole")
    }
    for binding in manifests:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace = binding["metadata"].get("namespace", "*")
        kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        rules = roles[kind, namespace if kind == "Role" else "*", name]
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount", "a group or a user: not ours"
            for rule in rules:
                yield (subject["namespace"], subject["name"]), namespace, rule
