"""The main pipeline, as it runs: a cycle follows where the controller says so."""

from __future__ import annotations

import zenml

from coti.settings import RunSettings
from ops.preconditions import prepare
from ops.terminal import user_errors
from pipelines.loops import Loop
from pipelines.wiring import STEPS, wire

__all__ = ["STEPS", "coti_concept"]


@zenml.pipeline(name="coti_concept", dynamic=True, depends_on=STEPS, enable_cache=True)
def coti_concept(config: RunSettings | None = None) -> None:
    """Learn ``config.concept`` from its seeds and the pool, cycle by cycle (Algorithm 1)."""
    with user_errors():
        wire(prepare(config), Loop())
