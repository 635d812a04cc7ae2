"""COTI: controllable textual inversion (Yang et al. 2023), the method in plain torch.

Nothing in this package imports zenml or mlflow; ``steps`` and ``pipelines`` wrap it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coti.loop.learn import learn

__all__ = ["__version__", "learn"]

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """``coti.learn``, which brings torch, is imported when it is asked for."""
    if name == "learn":
        from coti.loop.learn import learn

        return learn
    raise AttributeError(f"module 'coti' has no attribute {name!r}")
