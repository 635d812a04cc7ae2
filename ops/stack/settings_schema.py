"""Pydantic's schema of the settings, made once a process.

ZenML checks a step's inputs against a model that it makes anew at every call; with ``RunSettings``
among them that was a third of what a run spent beside its steps. ``coti`` itself needs no pydantic.
"""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter

from coti.settings import RunSettings

__all__ = ["remember_schema"]


@cache
def remember_schema() -> None:
    """Let pydantic take the settings' schema as it is instead of making it from the fields."""
    schema = TypeAdapter(RunSettings).core_schema
    setattr(RunSettings, "__get_pydantic_core_schema__", classmethod(lambda *_: schema))  # noqa: B010
