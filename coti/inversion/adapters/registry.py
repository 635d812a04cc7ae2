"""Adapters by name; from outside: ``ADAPTERS.register("mine", "my.module:MyAdapter")``."""

from __future__ import annotations

from coti.core.registry import Registry
from coti.inversion.adapters.protocol import Adapter

__all__ = ["ADAPTERS"]

ADAPTERS = Registry[type[Adapter]](
    "adapter",
    {"embedding": "coti.inversion.adapters.embedding:Embedding"},
    Adapter,
)
