"""Make ZenML's stack and components what a file of ``configs/stacks`` says; harmless to repeat."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from coti.core.errors import ConfigError, StoreError
from ops.quiet import ROOT, quiet_terminal
from ops.stack.databases import made_whole, make_private, require_databases, zenml_database
from ops.stack.moved_state import settle, state_lock
from ops.stack.sqlite import PREFIX, use_write_ahead_log
from ops.stack.stack_files import Component, StackFile, read_stack

__all__ = ["register_stack"]

FOLDER = ROOT / "configs" / "stacks"
_IN_PODS = frozenset({"kubernetes", "kubeflow"})
"""Orchestrators that run steps elsewhere than here."""
_TEMPORARY_KEY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def register_stack(name: str, root: Path = ROOT) -> str:
    """Register the stack of ``configs/stacks/NAME.yaml`` and make it active; its name in ZenML.

    Secrets are read from the environment and kept in ZenML's secret store.

    Raises:
        ConfigError: the file, or what ZenML says of it.
        StoreError: ZenML's store cannot be used.
    """
    quiet_terminal()
    with state_lock(root):  # first ones at once would make one database twice
        settle(root)
        with made_whole(None, root):  # nor did anything that was killed leave a half one
            require_databases(root)
        return _register(name, root)


def _register(name: str, root: Path) -> str:
    from zenml.client import Client
    from zenml.config.global_config import GlobalConfiguration

    try:
        with made_whole(zenml_database(), root):
            if not (root / ".zen").is_dir():
                Client.initialize(root=root)
            client = Client(root=root)
            stored = frozenset(each.name for each in client.list_secrets(size=1000).items)
    except Exception as error:
        from ops.stack.check_stack import store_problem

        raise StoreError(f"ZenML store: {store_problem(error)}") from error
    places = {"root": str(root), "stores": str(GlobalConfiguration().local_stores_path)}
    definition = _definition(name, os.environ, places, stored)
    for secret, values in definition.secrets.items():
        if secret in stored or not _made(partial(client.create_secret, secret, values)):
            client.update_secret(secret, add_or_update_values=values)
    for component in definition.components:
        with _refusals(component):
            _component(client, component)
    _stack(client, definition)
    use_write_ahead_log(client.zen_store.url)
    _prepare_mlflow(definition, root)
    make_private(root / ".coti")
    return definition.name


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
    if _made(
        lambda: client.create_stack_component(
            name=component.name,
            flavor=component.flavor,
            component_type=component_type,
            configuration=config,
        )
    ):
        return
    found = client.get_stack_component(
        component_type, component.name, allow_name_prefix_match=False
    )
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
    if not _made(lambda: client.create_stack(name=definition.name, components=by_type)):
        updates = {kind: [each] for kind, each in by_type.items()}
        client.update_stack(name_id_or_prefix=definition.name, component_updates=updates)
    client.activate_stack(definition.name)
    # ZenML's own client of this process, if something has asked it before, still knows the stack
    # that was active then: in a new pod, the default one.
    process = type(client)()
    if process.root == client.root:
        process.activate_root(client.root)


def _made(make: Callable[[], object]) -> bool:
    """Whether we made it; else it was there, perhaps by another job of CI in between."""
    from zenml.exceptions import EntityExistsError

    try:
        make()
    except EntityExistsError:
        return False
    return True


def _prepare_mlflow(definition: StackFile, root: Path) -> None:
    """Make a local tracking database now, so that the first run doesn't wait for it."""
    for component in definition.components:
        uri = component.config.get("tracking_uri", "")
        if uri.startswith(PREFIX):
            from mlflow import MlflowClient

            path = Path(uri.removeprefix(PREFIX))
            path.parent.mkdir(parents=True, exist_ok=True)
            quiet_terminal(again=True)
            with made_whole(path, root):
                MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
            use_write_ahead_log(uri)
