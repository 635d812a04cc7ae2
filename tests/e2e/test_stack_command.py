"""``coti stack up`` and ``coti stack check`` on a ZenML of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REGISTERED = (
    "import json; from zenml.client import Client\n"
    "c = Client()\n"
    "print(json.dumps({'active': c.active_stack_model.name,"
    " 'stacks': sorted([s.name, str(s.id)] for s in c.list_stacks().items),"
    " 'components': sorted([s.name, s.type.value, str(s.id), str(s.configuration)]"
    " for s in c.list_stack_components().items)}))"
)


def _registered(space: Workspace) -> Any:
    return space.query(REGISTERED)


def test_up_is_harmless_to_repeat_and_check_finds_what_is_broken(workspace: Workspace) -> None:
    """The same stack and components, no second ones; a store that can't be written is named."""
    before = _registered(workspace)
    assert before["active"] == "coti-local"
    done = workspace.command("coti", "stack", "up", "local")
    assert done.stdout.strip() == "Stack coti-local is active."
    assert _registered(workspace) == before

    sound = workspace.command("coti", "stack", "check")
    assert sound.returncode == 0, sound.stdout
    assert "ok    ZenML store: answers at sqlite://" in sound.stdout
    assert "ok    artifact_store coti-local (local)" in sound.stdout
    assert "ok    experiment_tracker coti-mlflow (mlflow)" in sound.stdout

    store = workspace.root / ".coti" / "artifacts"
    store.rename(store.with_name("kept"))
    store.write_text("a file where the folder was")
    broken = workspace.command("coti", "stack", "check")
    assert broken.returncode == 1
    assert "FAIL  artifact_store coti-local (local)" in broken.stdout
    assert "cannot be written" in broken.stdout
    assert "ok    experiment_tracker" in broken.stdout
    assert "Traceback" not in broken.stdout + broken.stderr
    store.unlink()
    store.with_name("kept").rename(store)


def test_a_changed_file_changes_the_component_and_makes_no_second(workspace: Workspace) -> None:
    """The tracking server has moved to where nobody listens: the check says so."""
    before = _registered(workspace)
    path = workspace.root / "configs" / "stacks" / "local.yaml"
    text = path.read_text(encoding="utf-8")
    local = 'tracking_uri: "sqlite:///{root}/.coti/mlflow.db"'
    path.write_text(text.replace(local, "tracking_uri: http://127.0.0.1:9"), encoding="utf-8")
    refused = workspace.command("coti", "stack", "up", "local")
    assert refused.returncode == 1
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
    assert "Traceback" not in said
    moved = "{tracking_uri: 'http://127.0.0.1:9', tracking_username: a, tracking_password: b}"
    path.write_text(text.replace(local, moved), encoding="utf-8")
    done = workspace.command("coti", "stack", "up", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    after = _registered(workspace)
    assert after["stacks"] == before["stacks"]
    assert [each[:3] for each in after["components"]] == [each[:3] for each in before["components"]]
    checked = workspace.command("coti", "stack", "check")
    assert checked.returncode == 1
    assert "MLflow at http://127.0.0.1:9 does not answer" in checked.stdout


S3 = {
    "COTI_S3_BUCKET": "pool",
    "COTI_S3_ENDPOINT": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "planted-key",
    "AWS_SECRET_ACCESS_KEY": "planted-secret",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_TRACKING_USERNAME": "a",
    "MLFLOW_TRACKING_PASSWORD": "b",
    "COTI_REGISTRY": "127.0.0.1:9",
    "COTI_KUBERNETES_CONTEXT": "first",
    "COTI_KUBEFLOW_HOST": "http://127.0.0.1:9",
}
UP = """
import json, os, sys
from zenml.client import Client
from ops.stack.register_stack import register_stack
found = []
for names, environment in json.load(sys.stdin):
    before = dict(os.environ)
    os.environ.update(environment)
    for name in names:
        Client().active_stack_model  # asked before, it remembers; a new pod's is the default one
        active = register_stack(name)
        assert Client().active_stack_model.name == active
    found.append({s.name: {k.value: [m[0].configuration, str(m[0].updated)]
                           for k, m in s.components.items()}
                  for s in Client().list_stacks(size=100).items})
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(found))
"""
"""Registers stacks one after the other; what ZenML then holds of each component, since when."""


def test_a_stack_leaves_the_others_alone_and_forgets_what_is_unset(workspace: Workspace) -> None:
    """One ZenML server for all: keyless `s3` beside `kubernetes` with keys, as CI has it."""
    keyless = {"COTI_S3_BUCKET": "pool", "AWS_SESSION_TOKEN": "t", "AWS_ACCESS_KEY_ID": "k"}
    keyless |= {"AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-north-1"}
    fewer = {**S3, "COTI_KUBERNETES_CONTEXT": "", "COTI_KUBEFLOW_HOST": "", "COTI_S3_ENDPOINT": ""}
    every = ("kubernetes", "kubeflow", "s3")
    orders = [(every, S3), (every, S3), (("s3",), keyless), (every[:2], fewer)]
    done = workspace.command("python", "-c", UP, stdin=json.dumps(orders))
    assert done.returncode == 0, done.stderr[-3000:]
    before, again, after, last = json.loads(done.stdout.strip().splitlines()[-1])
    assert before["coti-s3"]["artifact_store"][0]["client_kwargs"]["endpoint_url"]
    assert again == before
    for name in ("coti-kubernetes", "coti-kubeflow"):
        assert after[name] == before[name]
    store = after["coti-s3"]["artifact_store"][0]
    assert not {"key", "secret"} & set(store)
    assert store["client_kwargs"] == {"region_name": "eu-north-1"}

    for name in ("coti-kubernetes", "coti-kubeflow"):
        orchestrator = last[name]["orchestrator"][0]
        assert before[name]["orchestrator"][0]["kubernetes_context"] == "first"
        assert not {"kubernetes_context", "kubeflow_hostname"} & set(orchestrator)
        assert "endpoint_url" not in last[name]["artifact_store"][0]["client_kwargs"]
    # On Kubernetes each role's pods have a key of their own.
    assert "key" not in last["coti-kubernetes"]["artifact_store"][0]
    assert last["coti-kubeflow"]["artifact_store"][0]["key"].startswith("{{coti-s3-kubeflow")
    assert last["coti-kubeflow"]["orchestrator"][0]["timeout"] == 86400


def test_what_is_not_set_is_one_sentence(workspace: Workspace) -> None:
    """Variables of a stack, half of a key; nothing is registered then."""
    before = _registered(workspace)
    for environment, name, named in (
        (
            {"COTI_S3_BUCKET": "", "COTI_REGISTRY": ""},
            "kubernetes",
            "COTI_REGISTRY, COTI_S3_BUCKET",
        ),
        ({**S3, "AWS_SECRET_ACCESS_KEY": ""}, "s3", "is set without AWS_SECRET_ACCESS_KEY"),
    ):
        workspace.extra = environment
        done = workspace.command("coti", "stack", "up", name)
        assert done.returncode == 1
        assert named in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    workspace.extra = {}
    assert _registered(workspace) == before


def test_a_store_that_does_not_answer_is_one_line(workspace: Workspace) -> None:
    """Of the check and of `up`; an empty address, as CI has it, is none."""
    http, mysql = "http://127.0.0.1:9", "mysql://zenml:planted-word@127.0.0.1:9/zenml"
    for url, words in ((http, ["check"]), (mysql, ["check"]), (mysql, ["up", "local"])):
        workspace.extra = {"ZENML_STORE_URL": url}
        done = workspace.command("coti", "stack", *words)
        assert done.returncode == 1
        if words == ["check"]:
            (line,) = done.stdout.splitlines()
            assert line.startswith("FAIL  ZenML store: ")
        said = " ".join((done.stdout + done.stderr).split())
        assert "127.0.0.1:9" in said
        assert "start the server, or set ZENML_STORE_URL" in said
        assert "Traceback" not in said
        assert "planted-word" not in said
    workspace.extra = {"ZENML_STORE_URL": "", "ZENML_STORE_API_KEY": ""}
    sound = workspace.command("coti", "stack", "check")
    assert "ok    ZenML store: answers at sqlite://" in sound.stdout
