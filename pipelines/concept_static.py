"""The static twin: the same loop, unrolled, for orchestrators without dynamic pipelines."""

from __future__ import annotations

import zenml

from pipelines.concept import learn
from pipelines.config import CotiConfig, load_config
from pipelines.edge import user_errors
from pipelines.loops import StaticLoop
from pipelines.packages import remember_packages
from pipelines.plan import plan_of

__all__ = ["coti_concept_static"]


@zenml.pipeline(name="coti_concept_static", enable_cache=True)
def coti_concept_static(config: CotiConfig | None = None) -> None:
    """Learn ``config.concept`` in a fixed number of cycles; those after a stop do nothing."""
    remember_packages()
    with user_errors():
        chosen = config or load_config()
        learn(chosen, StaticLoop(plan_of(chosen).controller.max_cycles + 1))
