"""Settings from YAML: types checked, unknown keys refused, each fault named by its key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from reprlib import Repr
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coti.core import text_files
from coti.core.errors import ConfigError, CotiError, shortened
from coti.settings.run import RunSettings

__all__ = ["merged", "parse_settings", "read_run_file", "read_yaml", "sentences"]

_FAULTS = 10
"""Of a file, that are said; the other ones are counted."""
_GOT = Repr()
_GOT.maxlevel, _GOT.maxstring, _GOT.maxother, _GOT.maxlong = 2, 100, 100, 100


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; an empty file is an empty one.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    content = text_files.read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping with the key `parameters`.")
    return content


def read_run_file(path: Path) -> RunSettings:
    """What stands under ``parameters: config:`` of a run file, for commands that need no ZenML.

    Raises:
        ConfigError: a key is unknown, a value is wrong, or the file is no YAML mapping.
    """
    parameters = read_yaml(path).get("parameters") or {}
    values = parameters.get("config") if isinstance(parameters, dict) else None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: settings of COTI belong under parameters: config:.")
    return parse_settings(values, str(path))


@cache
def _adapter() -> TypeAdapter[RunSettings]:
    """Made once: it costs as much as thousands of checks."""
    return TypeAdapter(RunSettings)


def parse_settings(values: Mapping[str, Any], origin: str) -> RunSettings:
    """Validate ``values``.

    Raises:
        ConfigError: names ``origin`` and every wrong key.
    """
    try:
        return _adapter().validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{origin}: {sentences(error)}.") from error
    except CotiError as error:
        raise ConfigError(f"{origin}: {error}") from error


def sentences(error: ValidationError) -> str:
    """Turn pydantic's list of errors into one line, the first faults each with its remedy."""
    faults = error.errors(include_url=False, include_context=False)
    lines = []
    for item in faults[:_FAULTS]:
        key = shortened(".".join(str(part) for part in item["loc"]))
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"unknown key {key!r}: remove it or mend its spelling")
        elif item["type"] == "missing":
            lines.append(f"{key} is missing")
        else:
            lines.append(f"{key}: {item['msg']} (got {_GOT.repr(item.get('input'))})")
    more = len(faults) - len(lines)
    return "; ".join(lines) + (f"; … and {more:,} more" if more else "")


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """``first`` overlaid with ``second``, mappings key by key.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    both = dict(first)
    for key, value in second.items():
        old = both.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict)
        both[key] = merged(old, value) if nested else value  # type: ignore[arg-type]
    return both
