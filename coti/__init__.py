"""COTI: controllable textual inversion (Yang et al. 2023), the method in plain torch.

Nothing in this package imports zenml or mlflow; ``steps`` and ``pipelines`` wrap it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coti.loop.learn import learn
    from coti.loop.preflight import check

__all__ = ["__version__", "check", "learn"]

__version__ = "0.2.0"

_LAZY = {"check": "coti.loop.preflight", "learn": "coti.loop.learn"}


def __getattr__(name: str) -> Any:
    """``coti.learn`` and ``coti.check``, which bring torch, are imported when asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'coti' has no attribute {name!r}")
