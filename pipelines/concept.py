"""The main pipeline, as it runs: a cycle follows where the controller says so."""

from __future__ import annotations

import zenml
from zenml.execution.pipeline.dynamic.run_context import DynamicPipelineRunContext

from coti.settings import RunSettings
from ops.preconditions import require_stack
from ops.run_file import load_settings
from ops.stack.locations import require_run_folder
from ops.stack.package_map import remember_packages
from ops.terminal import user_errors
from ops.tracking.killed_runs import close_killed_runs
from pipelines.loops import Loop
from pipelines.wiring import STEPS, wire

__all__ = ["STEPS", "coti_concept"]


@zenml.pipeline(name="coti_concept", dynamic=True, depends_on=STEPS, enable_cache=True)
def coti_concept(config: RunSettings | None = None) -> None:
    """Learn ``config.concept`` from its seeds and the pool, cycle by cycle (Algorithm 1)."""
    remember_packages()
    with user_errors():
        close_killed_runs()
        chosen = config or load_settings()
        context = DynamicPipelineRunContext.get()
        assert context is not None
        require_run_folder(chosen.output, context.run.name)
        require_stack([chosen.concept])
        wire(chosen, Loop())
