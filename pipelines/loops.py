"""The two ways in which the loop over cycles exists: as it runs, and unrolled beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zenml
from zenml.steps import BaseStep
from zenml.steps.utils import parse_return_type_annotations

from pipelines.static_steps import LATER, previous_name
from steps.embed_pool import embed_pool, embed_whole_pool
from steps.register_embedding import register_embedding
from steps.shard_pool import shard_pool
from steps.track_cycle import track_cycle

__all__ = ["Loop", "StaticLoop", "embed_shards"]


def embed_shards(shards: Any, pool_images: Any, encoding: Mapping[str, Any]) -> Any:
    """Features shard by shard: a step, on Kubernetes a pod, each."""
    fixed: dict[str, Any] = {key: zenml.unmapped(value) for key, value in encoding.items()}
    return embed_pool.map(shard=shards, pool_images=pool_images, **fixed)


class Loop:
    """A step runs when it is called; the controller's artifact decides."""

    def __init__(self) -> None:
        """No cycle has begun."""
        self._cycle: int | None = None

    def begin(self, cycle: int | None) -> None:
        """From here on steps are called in this cycle; with None, after the last."""
        self._cycle = cycle

    def name_of(self, step: BaseStep) -> str:
        """What the dashboard calls it: ``train_cycle_2`` in cycle 2, else its own name.

        By itself ZenML would call that one ``train_cycle_3``, the third.
        """
        return step.name if self._cycle is None else f"{step.name}_{self._cycle}"

    def __call__(self, step: BaseStep, **inputs: Any) -> Any:
        """The step's outputs."""
        return step(id=self.name_of(step), **inputs)

    def goes_on(self, decision: Any) -> bool:
        """Whether another cycle follows: what the controller says."""
        return bool(decision.load()["go_on"])

    def found_nothing(self, decision: Any) -> bool:
        """Whether the cycle ends here, since its selection had nothing to add."""
        return not decision.load()["go_on"]

    def embed_shards(
        self, accepted: Any, size: int, pool_images: Any, encoding: Mapping[str, Any]
    ) -> Any:
        """Features of the pool's images, shard by shard."""
        return embed_shards(shard_pool(accepted=accepted, size=size), pool_images, encoding)

    def tell(self, announce: Callable[..., None], **artifacts: Any) -> None:
        """Have ``announce`` tell the user what is in the artifacts."""
        announce(
            **{
                name: [each.load() for each in found] if isinstance(found, list) else found.load()
                for name, found in artifacts.items()
            }
        )


class StaticLoop(Loop):
    """A fixed number of cycles; those after the controller's stop pass through unchanged."""

    def __init__(self, cycles: int) -> None:
        """``cycles``: how many to unroll, the first on the seeds alone included."""
        super().__init__()
        self._cycles = cycles
        self._decision: Any = None
        self._before: dict[str, Mapping[str, Any]] = {}
        self._tracked: str | None = None

    def __call__(self, step: BaseStep, **inputs: Any) -> Any:
        """Add the step to the graph."""
        order: dict[str, Any] = {"id": self.name_of(step)}
        if step in (track_cycle, register_embedding):
            # They write to MLflow and share no artifact: one after the other, as they are called.
            order["after"] = self._tracked
            self._tracked = order["id"]
        outputs = list(parse_return_type_annotations(step.entrypoint))
        if self._cycle and step.name in LATER:
            before = self._before.get(step.name, {})
            previous = {previous_name(name): before.get(name) for name in outputs}
            later = LATER[step.name]
            made = later(**inputs, **previous, last_decision=self._decision, **order)
        else:
            made = step(**inputs, **order)
        found = [made] if len(outputs) == 1 else list(made or ())
        self._before[step.name] = {each.output_name: each for each in found}
        return made

    def goes_on(self, decision: Any) -> bool:
        """Until all cycles are unrolled."""
        self._decision = decision
        return (self._cycle or 0) + 1 < self._cycles

    def found_nothing(self, decision: Any) -> bool:
        """Not known yet: what follows passes through where the selection says so."""
        self._decision = decision
        return False

    def embed_shards(
        self, accepted: Any, size: int, pool_images: Any, encoding: Mapping[str, Any]
    ) -> Any:
        """One step for all: how many shards there are is not known when the graph is made."""
        return [embed_whole_pool(accepted=accepted, pool_images=pool_images, **encoding)]

    def tell(self, announce: Callable[..., None], **artifacts: Any) -> None:
        """Nothing is known yet when the graph is made."""
