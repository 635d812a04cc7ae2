"""COTI: controllable textual inversion (Yang et al. 2023), the method in plain torch.

Nothing in this package imports zenml or mlflow; ``steps`` and ``pipelines`` wrap it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coti.api.curation import curate
    from coti.api.learning import check, learn

__all__ = ["__version__", "check", "curate", "learn"]

__version__ = "0.2.0"

_LAZY = {
    "check": "coti.api.learning",
    "curate": "coti.api.curation",
    "learn": "coti.api.learning",
}


def __getattr__(name: str) -> Any:
    """What is called from Python brings torch, so it is imported when asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'coti' has no attribute {name!r}")
