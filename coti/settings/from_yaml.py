"""Settings from YAML: types checked, unknown keys refused, each fault named by its key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from reprlib import Repr
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coti.core import text_files
from coti.core.errors import ConfigError, CotiError, shortened
from coti.settings.run import RunSettings, flat

__all__ = ["parse_settings", "read_run_file", "read_yaml", "sentences"]

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


@cache
def _keys() -> tuple[str, ...]:
    """All that may stand in a run file, parts as well as what is in them."""
    parts = asdict(RunSettings())
    return ("preset", *parts, *flat(parts))


def parse_settings(values: Mapping[str, Any], origin: str) -> RunSettings:
    """Validate ``values``.

    Raises:
        ConfigError: names ``origin`` and every wrong key.
    """
    try:
        return _adapter().validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{origin}: {sentences(error, _keys())}.") from error
    except CotiError as error:
        raise ConfigError(f"{origin}: {error}") from error


def sentences(error: ValidationError, known: Collection[str] = ()) -> str:
    """Turn pydantic's list of errors into one line, the first faults each with its remedy.

    Args:
        error: what pydantic says.
        known: keys that there are, dotted, of which the nearest is named for an unknown one.
    """
    faults = error.errors(include_url=False, include_context=False)
    lines = []
    for item in faults[:_FAULTS]:
        key = shortened(".".join(str(part) for part in item["loc"]))
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            near = get_close_matches(key, known, n=1)
            mended = f"write {near[0]}" if near else "mend its spelling"
            lines.append(f"unknown key {key!r}: remove it or {mended}")
        elif item["type"] == "missing":
            lines.append(f"{key} is missing")
        else:
            lines.append(f"{key}: {item['msg']} (got {_GOT.repr(item.get('input'))})")
    more = len(faults) - len(lines)
    return "; ".join(lines) + (f"; … and {more:,} more" if more else "")
