"""``coti stack``: register and check the ZenML stacks of ``configs/stacks``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from cli.quiet import ROOT, quiet_terminal
from cli.sqlite import use_write_ahead_log

__all__ = ["stack"]

FOLDER = ROOT / "configs" / "stacks"


@click.group()
def stack() -> None:
    """Register and check ZenML stacks."""


@stack.command()
@click.argument("name", default="local")
def up(name: str) -> None:
    """Register the stack of configs/stacks/NAME.yaml and make it active; harmless to repeat."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
        raise click.ClickException(f"no stack {name!r} in {FOLDER}: choose one of {known}.")
    definition = yaml.safe_load(path.read_text(encoding="utf-8").replace("{root}", str(ROOT)))
    from zenml.client import Client

    quiet_terminal()
    if not (ROOT / ".zen").is_dir():
        Client.initialize(root=ROOT)
    client = Client(root=ROOT)
    components = {
        kind: _component(client, kind, spec) for kind, spec in definition["components"].items()
    }
    _stack(client, definition["name"], components)
    use_write_ahead_log(client.zen_store.url)
    _prepare_mlflow(definition["components"].get("experiment_tracker", {}))
    click.echo(f"Stack {definition['name']} is active.")


def _component(client: Any, kind: str, spec: dict[str, Any]) -> str:
    """Make a component as the file says, or bring the present one up to date; its name."""
    from zenml.enums import StackComponentType

    component_type = StackComponentType(kind)
    config = spec.get("config", {})
    local_path = config.get("path")
    if local_path and "://" not in local_path:
        Path(local_path).mkdir(parents=True, exist_ok=True)
    try:
        found = client.get_stack_component(
            component_type, spec["name"], allow_name_prefix_match=False
        )
    except KeyError:
        client.create_stack_component(
            name=spec["name"],
            flavor=spec["flavor"],
            component_type=component_type,
            configuration=config,
        )
    else:
        present = found.configuration
        if any(present.get(key) != value for key, value in config.items()):
            client.update_stack_component(
                name_id_or_prefix=spec["name"], component_type=component_type, configuration=config
            )
    return str(spec["name"])


def _stack(client: Any, name: str, components: dict[str, str]) -> None:
    from zenml.enums import StackComponentType

    by_type: dict[Any, Any] = {StackComponentType(kind): each for kind, each in components.items()}
    try:
        client.get_stack(name, allow_name_prefix_match=False)
    except KeyError:
        client.create_stack(name=name, components=by_type)
    else:
        updates = {kind: [each] for kind, each in by_type.items()}
        client.update_stack(name_id_or_prefix=name, component_updates=updates)
    client.activate_stack(name)


def _prepare_mlflow(tracker: dict[str, Any]) -> None:
    """Make a local tracking database now, so that the first run doesn't wait for it."""
    uri = str(tracker.get("config", {}).get("tracking_uri", ""))
    if uri.startswith("sqlite:"):
        from mlflow import MlflowClient

        quiet_terminal(again=True)
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
        use_write_ahead_log(uri)
