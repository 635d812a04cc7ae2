"""The static twin: the same loop, unrolled, for orchestrators without dynamic pipelines."""

from __future__ import annotations

import zenml
from zenml.client import Client

from coti.loop.plan import effective
from coti.settings import RunSettings
from ops.preconditions import require_stack
from ops.run_file import load_settings
from ops.stack.package_map import remember_packages
from ops.terminal import user_errors
from pipelines.loops import StaticLoop
from pipelines.wiring import wire

__all__ = ["coti_concept_static"]


@zenml.pipeline(name="coti_concept_static", enable_cache=True)
def coti_concept_static(config: RunSettings | None = None) -> None:
    """Learn ``config.concept`` in a fixed number of cycles; those after a stop do nothing."""
    remember_packages()
    with user_errors():
        chosen = config or load_settings()
        # What submits to a cluster need not reach what its pods do.
        if not Client().active_stack.orchestrator.config.is_remote:
            require_stack([chosen.concept])
        wire(chosen, StaticLoop(effective(chosen).controller.max_cycles + 1))
