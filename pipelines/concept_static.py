"""The static twin: the same loop, unrolled, for orchestrators without dynamic pipelines."""

from __future__ import annotations

import zenml

from coti.loop.plan import effective
from coti.settings import RunSettings
from ops.preconditions import prepare
from ops.terminal import user_errors
from pipelines.loops import StaticLoop
from pipelines.wiring import wire

__all__ = ["coti_concept_static"]


@zenml.pipeline(name="coti_concept_static", enable_cache=True)
def coti_concept_static(config: RunSettings | None = None) -> None:
    """Learn ``config.concept`` in a fixed number of cycles; those after a stop do nothing."""
    with user_errors():
        chosen = prepare(config)
        wire(chosen, StaticLoop(effective(chosen).controller.max_cycles + 1))
