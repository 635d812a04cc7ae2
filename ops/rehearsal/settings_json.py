"""Settings between two processes, whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from coti.settings import RunSettings

__all__ = ["settings_from", "settings_json"]


def settings_json(settings: RunSettings) -> dict[str, Any]:
    """As JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return found


def settings_from(values: Mapping[str, Any]) -> RunSettings:
    """Of :func:`settings_json`."""
    return TypeAdapter(RunSettings).validate_python(dict(values))
