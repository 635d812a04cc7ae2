"""Pydantic's schema of the settings, made once a process.

ZenML checks a step's inputs against a model that it makes anew at every call; with ``RunSettings``
among them that was a third of what a run spent beside its steps. ``coti`` itself needs no pydantic.
"""

from __future__ import annotations

from pydantic import TypeAdapter

from coti.settings import RunSettings

__all__ = ["remember_schema"]


def remember_schema() -> None:
    """Let pydantic take the settings' schema as it is instead of making it from the fields."""
    if "__get_pydantic_core_schema__" not in vars(RunSettings):
        schema = TypeAdapter(RunSettings).core_schema
        RunSettings.__get_pydantic_core_schema__ = classmethod(lambda *_: schema)  # type: ignore[attr-defined]
