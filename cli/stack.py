"""``coti stack``: register and check the ZenML stacks of ``configs/stacks``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from coti.core.errors import ConfigError, StoreError
from ops.quiet import ROOT, quiet_terminal
from ops.stack.stack_files import Component, StackFile, read_stack
from ops.tracking.sqlite import use_write_ahead_log

__all__ = ["stack", "unset_empty_store_variables"]

FOLDER = ROOT / "configs" / "stacks"
_IN_PODS = frozenset({"kubernetes", "kubeflow"})
"""Orchestrators that run steps elsewhere than here."""
_TEMPORARY_KEY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@click.group()
def stack() -> None:
    """Register and check ZenML stacks."""
    unset_empty_store_variables()


def unset_empty_store_variables() -> None:
    """``ZENML_STORE_URL=""`` is how CI passes what it has not: no address, not an empty one."""
    for name in [key for key in os.environ if key.startswith("ZENML_STORE_")]:
        if not os.environ[name].strip():
            del os.environ[name]


@stack.command()
@click.argument("name", default="local")
def up(name: str) -> None:
    """Register the stack of configs/stacks/NAME.yaml and make it active; harmless to repeat.

    Secrets are read from the environment and kept in ZenML's secret store.
    """
    from zenml.client import Client
    from zenml.config.global_config import GlobalConfiguration

    quiet_terminal()
    try:
        if not (ROOT / ".zen").is_dir():
            Client.initialize(root=ROOT)
        client = Client(root=ROOT)
        stored = frozenset(each.name for each in client.list_secrets(size=1000).items)
    except Exception as error:
        from ops.stack.check_stack import store_problem

        raise StoreError(f"ZenML store: {store_problem(error)}") from error
    places = {"root": str(ROOT), "stores": str(GlobalConfiguration().local_stores_path)}
    definition = _definition(name, os.environ, places, stored)
    for secret, values in definition.secrets.items():
        if secret in stored or not _made(partial(client.create_secret, secret, values)):
            client.update_secret(secret, add_or_update_values=values)
    for component in definition.components:
        with _refusals(component):
            _component(client, component)
    _stack(client, definition)
    use_write_ahead_log(client.zen_store.url)
    _prepare_mlflow(definition)
    click.echo(f"Stack {definition.name} is active.")


@stack.command()
@click.option("--gpu/--no-gpu", default=None, help="Whether a GPU must be found in the cluster.")
def check(gpu: bool | None) -> None:
    """Say of each component of the active stack whether it works, and what to do if it doesn't."""
    quiet_terminal()
    from ops.stack.check_stack import check_stack

    findings = list(check_stack(gpu))
    quiet_terminal(again=True)
    for each in findings:
        click.echo(f"{each.state:<5} {each.what}: {each.said}")
    if any(each.state == "FAIL" for each in findings):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _refusals(component: Component) -> Iterator[None]:
    """What ZenML does not take in a component's configuration, in a sentence."""
    try:
        yield
    except ValueError as error:
        words = " ".join(str(error).split())
        if "authentication method" in words:
            raise ConfigError(
                f"{component.name}: ZenML wants a name and a password for every MLflow server: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; a server that asks for "
                "none takes any."
            ) from error
        raise ConfigError(
            f"ZenML does not take the configuration of {component.name} ({words[:200]}): mend "
            "configs/stacks or the environment."
        ) from error


def _definition(
    name: str,
    environment: Mapping[str, str],
    places: Mapping[str, str],
    stored: frozenset[str],
) -> StackFile:
    """The stack's file, read; a submitter's temporary key does not take pods their stored one."""
    found = read_stack(FOLDER, name, environment, places, stored)
    in_pods = any(c.kind == "orchestrator" and c.flavor in _IN_PODS for c in found.components)
    if in_pods and environment.get("AWS_SESSION_TOKEN"):
        others = {key: each for key, each in environment.items() if key not in _TEMPORARY_KEY}
        found = read_stack(FOLDER, name, others, places, stored)
    return found


def _component(client: Any, component: Component) -> None:
    """Make a component as the file says, or bring the present one up to date."""
    from zenml.enums import StackComponentType
    from zenml.stack.utils import validate_stack_component_config

    component_type, config = StackComponentType(component.kind), component.config
    local_path = config.get("path")
    if local_path and "://" not in local_path:
        try:
            Path(local_path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{component.name}: {local_path} cannot be made ({error.strerror}): mend the path "
                "or its rights."
            ) from error

    def present() -> Any:
        return client.get_stack_component(
            component_type, component.name, allow_name_prefix_match=False
        )

    try:
        found = present()
    except KeyError:
        if _made(
            lambda: client.create_stack_component(
                name=component.name,
                flavor=component.flavor,
                component_type=component_type,
                configuration=config,
            )
        ):
            return
        found = present()
    validated = validate_stack_component_config(config, found.flavor, component_type)
    assert validated is not None  # but for a flavor that is not ZenML's own
    wanted = validated.model_dump(mode="json", exclude_unset=True)
    if found.configuration != wanted:
        # What is no longer said goes: a key that gave way to the machine's own identity, say.
        gone = {key: None for key in found.configuration if key not in wanted}
        client.update_stack_component(
            name_id_or_prefix=component.name,
            component_type=component_type,
            configuration={**config, **gone},
        )


def _stack(client: Any, definition: StackFile) -> None:
    from zenml.enums import StackComponentType

    by_type: dict[Any, Any] = {StackComponentType(c.kind): c.name for c in definition.components}
    try:
        client.get_stack(definition.name, allow_name_prefix_match=False)
        made = False
    except KeyError:
        made = _made(lambda: client.create_stack(name=definition.name, components=by_type))
    if not made:
        updates = {kind: [each] for kind, each in by_type.items()}
        client.update_stack(name_id_or_prefix=definition.name, component_updates=updates)
    client.activate_stack(definition.name)


def _made(make: Callable[[], object]) -> bool:
    """Whether we made it; else somebody did so in between, such as another job of CI."""
    from zenml.exceptions import EntityExistsError

    try:
        make()
    except EntityExistsError:
        return False
    return True


def _prepare_mlflow(definition: StackFile) -> None:
    """Make a local tracking database now, so that the first run doesn't wait for it."""
    uris = [c.config.get("tracking_uri", "") for c in definition.components]
    for uri in uris:
        if uri.startswith("sqlite:"):
            from mlflow import MlflowClient

            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            quiet_terminal(again=True)
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
            use_write_ahead_log(uri)
