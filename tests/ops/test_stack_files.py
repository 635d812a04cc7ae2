"""What a stack file comes to: variables, secrets by name, nothing of this machine."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from zenml.exceptions import EntityExistsError

from coti.core.errors import ConfigError
from ops.stack.register_stack import _component, _definition, _stack
from ops.stack.stack_files import Component, StackFile, read_stack, stack_names

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "stacks"
PLACES = {"root": "/somewhere", "stores": "/stores"}
WHOLE = {
    "COTI_S3_BUCKET": "bucket",
    "AWS_ACCESS_KEY_ID": "planted-key",
    "AWS_SECRET_ACCESS_KEY": "planted-secret",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "MLFLOW_TRACKING_USERNAME": "planted-user",
    "MLFLOW_TRACKING_PASSWORD": "planted-password",
    "COTI_REGISTRY": "registry.example",
    "COTI_IMAGE": "registry.example/coti",
    "COTI_KUBEFLOW_HOST": "http://kubeflow.example",
}


@pytest.mark.parametrize("name", stack_names(FOLDER))
def test_every_stack_is_read_and_holds_no_secret(name: str) -> None:
    """With everything set; secrets are apart, and components refer to them by name."""
    found = read_stack(FOLDER, name, WHOLE, PLACES)
    kinds = {each.kind for each in found.components}
    assert {"orchestrator", "artifact_store"} <= kinds
    assert "planted" not in str(found.components)
    assert "${" not in str(found.components)


def test_secrets_are_kept_apart() -> None:
    """Their values go to ZenML's secret store, the component says where they are."""
    found = read_stack(FOLDER, "s3", WHOLE, PLACES)
    assert found.secrets["coti-s3"] == {"key": "planted-key", "secret": "planted-secret"}
    (store,) = (each for each in found.components if each.kind == "artifact_store")
    assert store.config["secret"] == "{{coti-s3.secret}}"
    assert store.config["path"] == "s3://bucket/coti"


def test_without_keys_the_machines_own_identity_is_used() -> None:
    """No secret, no reference to one; a secret that is stored already needs no variable."""
    found = read_stack(FOLDER, "s3", {"COTI_S3_BUCKET": "bucket"}, PLACES)
    assert found.secrets == {}
    (store,) = (each for each in found.components if each.kind == "artifact_store")
    assert "key" not in store.config
    again = read_stack(FOLDER, "s3", {"COTI_S3_BUCKET": "bucket"}, PLACES, frozenset({"coti-s3"}))
    (store,) = (each for each in again.components if each.kind == "artifact_store")
    assert store.config["key"] == "{{coti-s3.key}}"


def test_what_has_settings_belongs_to_one_stack() -> None:
    """On one ZenML server one stack's environment would else change another's store or keys."""
    seen: dict[tuple[str, str], str] = {}
    for name in stack_names(FOLDER):
        found = read_stack(FOLDER, name, WHOLE, PLACES)
        owned = [(each.kind, each.name) for each in found.components if each.config]
        for each in [*owned, *(("secret", secret) for secret in found.secrets)]:
            assert seen.setdefault(each, name) == name, each


def test_a_stack_refers_to_its_own_secrets() -> None:
    """To each that its file names, and to no other."""
    for name in stack_names(FOLDER):
        found = read_stack(FOLDER, name, WHOLE, PLACES)
        referred = set(re.findall(r"\{\{([\w-]+)\.", str(found.components)))
        assert referred == set(found.secrets), name


@pytest.mark.parametrize(
    ("there", "absent"),
    [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_half_a_secret_is_refused(there: str, absent: str) -> None:
    """Else the one that is stored would be used in its place, unsaid; a token changes nothing."""
    for more in ({}, {"AWS_SESSION_TOKEN": "planted-token"}):
        given = {**WHOLE, absent: "", **more}
        with pytest.raises(ConfigError, match=f"{there} is set without {absent}") as caught:
            read_stack(FOLDER, "s3", given, PLACES, frozenset({"coti-s3", "coti-mlflow"}))
        assert "planted" not in str(caught.value)


def test_what_is_missing_is_named() -> None:
    """All of it at once, in one sentence; an unknown stack lists the known ones."""
    with pytest.raises(ConfigError, match=r"needs .*COTI_REGISTRY.*COTI_S3_BUCKET.*in the env"):
        read_stack(FOLDER, "kubernetes", {}, PLACES)
    with pytest.raises(ConfigError, match=re.escape("choose one of docker, kubeflow, kubernetes")):
        read_stack(FOLDER, "cloud", {}, PLACES)


def test_a_default_may_hold_a_place() -> None:
    """Without a tracking server the s3 stack's record is a database below the root."""
    found = read_stack(FOLDER, "s3", {"COTI_S3_BUCKET": "pool"}, PLACES)
    (tracker,) = [each for each in found.components if each.kind == "experiment_tracker"]
    assert tracker.config["tracking_uri"] == "sqlite:////somewhere/.coti/mlflow-s3.db"


def test_temporary_keys_are_never_kept() -> None:
    """A role taken by OIDC: neither stored nor referred to, even where a secret is stored."""
    taken = {**WHOLE, "AWS_SESSION_TOKEN": "planted-token"}
    found = read_stack(FOLDER, "s3", taken, PLACES, frozenset({"coti-s3"}))
    assert "coti-s3" not in found.secrets
    (store,) = (each for each in found.components if each.kind == "artifact_store")
    assert not {"key", "secret"} & set(store.config)
    assert found.secrets["coti-mlflow"]["username"] == "planted-user"


@pytest.mark.parametrize("stored", [frozenset({"coti-s3-kubernetes"}), frozenset[str]()])
def test_the_kubernetes_stack_keeps_no_key(stored: frozenset[str]) -> None:
    """Any pod of a run can read ZenML's store: pods have theirs from Kubernetes, by role."""
    found = _definition("kubernetes", WHOLE, PLACES, stored)
    assert found.secrets == {}
    assert "planted" not in repr([each.config for each in found.components])
    assert "{{" not in repr([each.config for each in found.components])


def test_a_submitters_temporary_key_takes_pods_none() -> None:
    """The component is the pods', too: what is stored for them stays, the temporary key doesn't."""
    name = "kubeflow"
    taken = {**WHOLE, "AWS_SESSION_TOKEN": "planted-token"}
    for stored in (frozenset({f"coti-s3-{name}"}), frozenset[str]()):
        found = _definition(name, taken, PLACES, stored)
        assert set(found.secrets) == {f"coti-mlflow-{name}"}
        (store,) = (each for each in found.components if each.kind == "artifact_store")
        assert store.config.get("key") == (f"{{{{coti-s3-{name}.key}}}}" if stored else None)
    kept = _definition(name, WHOLE, PLACES, frozenset())
    assert kept.secrets[f"coti-s3-{name}"] == {"key": "planted-key", "secret": "planted-secret"}
    with pytest.raises(ConfigError, match="is set without AWS_SECRET_ACCESS_KEY"):
        _definition(name, {**taken, "AWS_SECRET_ACCESS_KEY": ""}, PLACES, frozenset())


def test_here_a_temporary_key_is_used_whatever_is_stored() -> None:
    """Steps run with the submitter's own identity."""
    taken = {**WHOLE, "AWS_SESSION_TOKEN": "planted-token"}
    found = _definition("s3", taken, PLACES, frozenset({"coti-s3"}))
    (store,) = (each for each in found.components if each.kind == "artifact_store")
    assert not {"key", "secret"} & set(store.config)


def test_who_comes_second_brings_up_to_date_what_is_there() -> None:
    """As where it was there before: what ZenML has already is brought up to date."""
    client = mock.Mock()
    there = SimpleNamespace(flavor="default", configuration={"uri": "elsewhere.example"})
    client.get_stack_component.return_value = there
    client.create_stack_component.side_effect = EntityExistsError("it is there")
    client.create_stack.side_effect = EntityExistsError("it is there")
    wanted = {"uri": "registry.example"}
    component = Component("container_registry", "coti-registry", "default", wanted)
    validated = mock.Mock(**{"model_dump.return_value": wanted})  # ZenML's asks its own store
    with mock.patch("zenml.stack.utils.validate_stack_component_config", return_value=validated):
        _component(client, component)
    assert client.update_stack_component.call_args.kwargs["configuration"] == wanted
    _stack(client, StackFile("coti-kubernetes", (component,), {}))
    assert client.update_stack.call_args.kwargs["name_id_or_prefix"] == "coti-kubernetes"
    client.activate_stack.assert_called_once_with("coti-kubernetes")


def test_an_address_holds_no_password() -> None:
    """It would lie readable in ZenML, and in the log of every check."""
    given = {**WHOLE, "MLFLOW_TRACKING_URI": "postgresql://mlflow:planted-word@db/mlflow"}
    with pytest.raises(ConfigError, match="holds a password") as caught:
        read_stack(FOLDER, "s3", given, PLACES)
    assert "planted-word" not in str(caught.value)
    read_stack(
        FOLDER, "s3", {**WHOLE, "MLFLOW_TRACKING_URI": "postgresql://mlflow@db/mlflow"}, PLACES
    )


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("COTI_S3_ENDPOINT", "https://me:planted-word@s3.example", "client_kwargs.endpoint_url"),
        ("COTI_REGISTRY", "me:planted-word@registry.example/team", "uri"),
        ("COTI_REGISTRY", "me:planted/word@registry.example:5000", "uri"),
        ("MLFLOW_TRACKING_URI", "postgresql://db/m?user=me&password=planted-word", "tracking_uri"),
    ],
)
def test_a_password_is_found_wherever_it_hides(variable: str, value: str, key: str) -> None:
    """Below other settings, and without a scheme."""
    with pytest.raises(ConfigError, match=f"{re.escape(key)} holds a password") as caught:
        read_stack(FOLDER, "kubernetes", {**WHOLE, variable: value}, PLACES)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COTI_REGISTRY", "localhost:5000/team"),
        ("COTI_REGISTRY", "registry.example:5000/coti@sha256:0123"),
        ("COTI_S3_ENDPOINT", "http://[::1]:8333"),
        ("COTI_S3_ENDPOINT", "http://s3.example:8333/a@b"),
        ("MLFLOW_TRACKING_URI", "postgresql://mlflow@db:5432/mlflow"),
        ("MLFLOW_TRACKING_URI", "sqlite:////home/a:b@c/mlflow.db"),
    ],
)
def test_an_address_without_a_password_is_taken(variable: str, value: str) -> None:
    """Ports, digests, users and odd paths are none."""
    read_stack(FOLDER, "kubernetes", {**WHOLE, variable: value}, PLACES)
