"""Read ``configs/stacks/NAME.yaml``: variables from the environment, secrets by name only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coti.core.errors import ConfigError
from coti.core.text_files import read_yaml

__all__ = ["Component", "StackFile", "read_stack", "stack_names"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
_TEMPORARY = {"AWS_ACCESS_KEY_ID": "AWS_SESSION_TOKEN"}
"""Keys that another variable makes temporary (a role taken by OIDC): never kept in a store."""
_SECRET = re.compile(r"^\{\{\s*([\w-]+)\.([\w-]+)\s*\}\}$")
_PASSWORD = re.compile(
    r"(?:^|://)[^/\s@:]*:(?!//|\d+/)[^\s@]+@(?!sha\d+:)|[?&]password=[^&\s]", re.IGNORECASE
)
"""``user:password@host`` with or without a scheme, or ``?password=…``; no port, no digest."""


@dataclass(frozen=True)
class Component:
    """A component of a stack."""

    kind: str
    """ZenML's name of its type, such as ``artifact_store``."""
    name: str
    flavor: str
    config: dict[str, Any]


@dataclass(frozen=True)
class StackFile:
    """What a file asks for."""

    name: str
    components: tuple[Component, ...]
    secrets: dict[str, dict[str, str]]
    """Secret name -> key -> value, those whose variables are all set."""


def stack_names(folder: Path) -> list[str]:
    """Stacks that can be registered."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_stack(
    folder: Path,
    name: str,
    environment: Mapping[str, str],
    places: Mapping[str, str],
    stored_secrets: frozenset[str] = frozenset(),
) -> StackFile:
    """The stack of ``folder/NAME.yaml``.

    Args:
        folder: where the files lie.
        name: without ``.yaml``.
        environment: for ``${NAME}`` and ``${NAME:-default}``, and for secrets.
        places: for ``{root}`` and the like.
        stored_secrets: names of secrets that the store has already: they need no variables. A
            setting that refers to a secret that is neither here nor there is left out, so that
            the machine's own identity is used; so it is where the environment's keys are
            temporary, whatever is stored.

    Raises:
        ConfigError: no such file, a variable without a default is not set, only a part of a secret
            is, or an address holds a password.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(stack_names(folder))
        raise ConfigError(f"no stack {name!r} in {folder}: choose one of {known}.")
    missing: set[str] = set()

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            whole = {key: filled(each) for key, each in value.items()}
            return {key: each for key, each in whole.items() if each not in ("", None)}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if not isinstance(value, str):
            return value

        def one(found: re.Match[str]) -> str:
            text = environment.get(found[1]) or found[3]
            if text is None:
                missing.add(found[1])
            return text or ""

        for word, place in places.items():  # first: a default may hold one, and ends at a brace
            value = value.replace(f"{{{word}}}", place)
        text = _VARIABLE.sub(one, value)
        return {"true": True, "false": False}.get(text, text)

    content = read_yaml(path, "the stack")
    secrets, temporary = {}, set()
    for secret, keys in (content.get("secrets") or {}).items():
        values = {key: environment.get(variable, "") for key, variable in keys.items()}
        if any(values.values()) and not all(values.values()):
            _refuse_half(name, keys, values)
        if any(environment.get(_TEMPORARY.get(variable, "")) for variable in keys.values()):
            temporary.add(secret)
        elif all(values.values()):
            secrets[secret] = values
    usable = (stored_secrets - temporary) | set(secrets)
    components = tuple(
        Component(kind, spec["name"], spec["flavor"], _usable(filled(spec.get("config")), usable))
        for kind, spec in content["components"].items()
    )
    if missing:
        names = ", ".join(sorted(missing))
        raise ConfigError(f"stack {name!r} needs {names} in the environment ({path.name}).")
    for component in components:
        _refuse_passwords(component)
    return StackFile(content["name"], components, secrets)


def _refuse_half(stack: str, keys: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Half a secret is a slip, and what is stored from before would be used in its place."""
    there = ", ".join(variable for key, variable in keys.items() if values[key])
    absent = ", ".join(variable for key, variable in keys.items() if not values[key])
    raise ConfigError(f"stack {stack!r}: {there} is set without {absent}: set both, or neither.")


def _refuse_passwords(component: Component) -> None:
    """A component's configuration is no place for a secret: ZenML shows it to everybody."""
    for key, value in _texts(component.config):
        if _PASSWORD.search(value):
            raise ConfigError(
                f"{component.name}: {key} holds a password, and a component's settings are "
                "readable for all: leave it out of the address. A server's goes into "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, a database's into "
                "PGPASSWORD or ~/.pgpass, a bucket's into AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, a registry's into `docker login`."
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a configuration, however deep, with its key: ``client_kwargs.endpoint_url``."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, key)


def _usable(config: dict[str, Any] | None, secrets: frozenset[str] | set[str]) -> dict[str, Any]:
    def kept(value: Any) -> bool:
        found = _SECRET.match(value) if isinstance(value, str) else None
        return found is None or found[1] in secrets

    return {key: value for key, value in (config or {}).items() if kept(value)}
