"""No role but those of the table comes by a secret, by rule or by mounting it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.k8s.access import READS, STARTS, Account, Pod, manifest_pods, reached, run_file_pods
from tests.k8s.capture import ROOT
from tests.k8s.test_manifests import built

OWN = {
    "coti-ingest": {"coti-ingest/coti-s3"},
    "coti-train": {"coti-train/coti-s3"},
}
RUN = {"coti-run/coti-s3", "coti-run/coti-mlflow"}
EXPECTED = {
    **OWN,
    "coti-controller": RUN | OWN["coti-ingest"] | OWN["coti-train"],
    "coti-retrain": RUN | OWN["coti-ingest"] | OWN["coti-train"] | {"coti-run/coti-zenml"},
    "coti-server": {
        "coti/coti-mlflow",
        "coti/coti-mysql",
        "coti/coti-postgres",
        "coti/coti-s3",
        "coti/coti-zenml",
    },
}
"""Account -> what it can come by, beside the tokens of runs. docs/operations.md says the same."""


def _pods(overlay: str) -> list[Pod]:
    run_file = "dev" if overlay == "dev" else "gpu"  # Kubeflow's pods are not in these namespaces
    return [*manifest_pods(built(overlay)), *run_file_pods(run_file)]


def _table(manifests: list[dict[str, Any]], pods: list[Pod]) -> dict[str, set[str]]:
    found = reached(manifests, pods)
    return {name: {"/".join(each) for each in secrets} for (_, name), secrets in found.items()}


@pytest.mark.parametrize("overlay", ["dev", "gpu", "kubeflow"])
def test_nobody_else_comes_by_a_secret(overlay: str) -> None:
    """The whole table: who opens files of strangers has one key, and not MLflow's."""
    expected = dict(EXPECTED)
    if overlay == "dev":
        expected["coti-server"] = expected["coti-server"] | {"coti/coti-seaweedfs"}
    assert _table(built(overlay), _pods(overlay)) == expected


def test_the_page_says_the_same() -> None:
    """The table of docs/operations.md."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for account, secrets in EXPECTED.items():
        (row,) = re.findall(rf"^\| `{account}` \|.*\|$", page, re.MULTILINE)
        assert set(re.findall(r"`(coti[a-z-]*/[a-z0-9-]+)`", row)) == secrets, account


@given(
    account=st.sampled_from(sorted(EXPECTED)),
    namespace=st.sampled_from(["coti", "coti-run", "coti-ingest", "coti-train"]),
    resource=st.sampled_from(["secrets", "jobs", "pods", "pods/exec", "cronjobs", "*"]),
    verb=st.sampled_from(sorted(READS | STARTS)),
)
def test_one_more_rule_would_be_seen(
    account: str, namespace: str, resource: str, verb: str
) -> None:
    """Whoever is given it, and wherever: what it opens is in the table, and what that opens."""
    manifests, pods = built("gpu"), _pods("gpu")
    before = reached(manifests, pods)
    (who,) = (each for each in before if each[1] == account)
    after = reached([*manifests, *_rule(who, namespace, resource, verb)], pods)
    there = {(pod.namespace, name) for pod in pods for name in pod.secrets}
    there = {secret for secret in there if secret[0] == namespace}
    opens = verb in (
        READS if resource == "secrets" else STARTS if resource != "*" else READS | STARTS
    )
    if opens:
        assert after[who] >= before[who] | there
    else:
        assert after == before
    if opens and resource != "secrets" and verb in STARTS:
        for other in after:
            if other[0] == namespace:
                assert after[who] >= after[other]


def _rule(who: Account, namespace: str, resource: str, verb: str) -> list[dict[str, Any]]:
    meta = {"name": "more", "namespace": namespace}
    rule = {"apiGroups": ["*"], "resources": [resource], "verbs": [verb]}
    subject = {"kind": "ServiceAccount", "namespace": who[0], "name": who[1]}
    return [
        {"kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"kind": "Role", "name": "more"},
            "subjects": [subject],
        },
    ]
