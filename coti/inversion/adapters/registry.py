"""Adapters by name, imported when asked for; :func:`register_adapter` adds one from outside."""

from __future__ import annotations

from importlib import import_module

from coti.core.errors import ConfigError
from coti.inversion.adapters.protocol import Adapter

__all__ = ["adapter_class", "register_adapter"]

ADAPTERS: dict[str, str] = {"embedding": "coti.inversion.adapters.embedding:Embedding"}
"""Name to ``module:class``."""


def register_adapter(name: str, target: str) -> None:
    """Add an adapter, or replace the one of that name; ``target`` is ``module:class``."""
    ADAPTERS[name] = target


def adapter_class(name: str) -> type[Adapter]:
    """The adapter of that name.

    >>> adapter_class("embedding").__name__
    'Embedding'

    Raises:
        ConfigError: there is none; names those there are.
    """
    if name not in ADAPTERS:
        raise ConfigError(f"There is no adapter {name!r}: take one of {', '.join(ADAPTERS)}.")
    module, _, kind = ADAPTERS[name].partition(":")
    found: type[Adapter] = getattr(import_module(module), kind)
    return found
