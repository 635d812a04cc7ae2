"""``coti stack up`` and ``coti stack check`` on a ZenML of their own."""

from __future__ import annotations

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


def test_a_stack_whose_variables_are_not_set_is_one_sentence(workspace: Workspace) -> None:
    """Nothing is registered then."""
    before = _registered(workspace)
    workspace.extra = {"COTI_S3_BUCKET": "", "COTI_REGISTRY": ""}
    done = workspace.command("coti", "stack", "up", "kubernetes")
    assert done.returncode == 1
    assert "needs COTI_REGISTRY, COTI_S3_BUCKET" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert _registered(workspace) == before
