"""The data's way through the pipeline: which step hands what to which.

``wire``, the pipelines' own function, is run for some cycles with steps that compute nothing and
note what they are given. Neither ZenML nor the steps are imported: they would open a store.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

from coti.settings import RunSettings

__all__ = ["Output", "Recorder", "Step", "handed_on", "read_wiring"]

CYCLES = 3
"""All that a cycle hands on is there in the third; in the first nothing is selected yet."""


class Output(NamedTuple):
    """One output of a step, in place of an artifact."""

    step: str
    name: str


@dataclass
class Step:
    """A step as the pipeline calls it."""

    name: str
    outputs: tuple[str, ...]
    in_loop: bool = False
    reads: set[Output] = field(default_factory=set)
    """What it takes of the same cycle, or from before the loop."""
    reads_last_cycle: set[Output] = field(default_factory=set)
    """What it takes of the cycle before."""

    @property
    def sources(self) -> set[str]:
        """The steps of ``reads``."""
        return {each.step for each in self.reads}


@dataclass
class Recorder:
    """Stands for the steps, and for the loop over cycles that calls them."""

    outputs: dict[str, tuple[str, ...]]
    """Of every step there is."""
    called: dict[str, Step] = field(default_factory=dict)
    """In the order of their first calls."""
    cycles: int = 0
    """That have ended."""

    def step(self, name: str) -> Callable[..., Any]:
        """What stands for the step of that name."""

        def call(**inputs: Any) -> Any:
            step = self.called.setdefault(name, Step(name, self.outputs[name]))
            order = list(self.called)
            for each in _outputs_in(inputs):
                earlier = order.index(each.step) < order.index(name)
                (step.reads if earlier else step.reads_last_cycle).add(each)
            made = [Output(name, each) for each in step.outputs]
            return made[0] if len(made) == 1 else tuple(made)

        call.__name__ = name
        return call

    def begin(self, cycle: int | None) -> None:
        """Names are not noted."""

    def __call__(self, step: Callable[..., Any], **inputs: Any) -> Any:
        """Call a step of a cycle."""
        made = step(**inputs)
        self.called[step.__name__].in_loop |= self.cycles < CYCLES  # some come after its end
        return made

    def embed_shards(self, accepted: Any, size: int, pool_images: Any, encoding: Any) -> Any:
        """As :class:`pipelines.loops.Loop`."""
        shards = self.step("shard_pool")(accepted=accepted)
        return self.step("embed_pool")(shard=shards, pool_images=pool_images, **encoding)

    def goes_on(self, decision: Any) -> bool:
        """For some cycles."""
        self.cycles += 1
        return self.cycles < CYCLES

    def found_nothing(self, decision: Any) -> bool:
        """Never."""
        return False

    def tell(self, *_: Any, **__: Any) -> None:
        """Nothing."""


def _outputs_in(value: Any) -> Iterator[Output]:
    if isinstance(value, Output):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _outputs_in(each)


def handed_on(steps: list[Step]) -> list[tuple[str, str]]:
    """Arrows between steps, without those that others imply (the transitive reduction)."""
    sources = {step.name: step.sources for step in steps}

    def above(name: str) -> set[str]:
        return sources[name].union(*map(above, sources[name]))

    return [
        (source, step.name)
        for step in steps
        for source in sorted(step.sources)
        if not any(source in above(other) for other in step.sources - {source})
    ]


def read_wiring(root: Path) -> list[Step]:
    """The steps of ``pipelines/wiring.py`` below ``root``, in the order in which it calls them."""
    recorder = Recorder(dict(_outputs_of_steps(root)))
    tree = ast.parse((root / "pipelines" / "wiring.py").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {each.name: _stand_in(node.module, each.name, recorder) for each in node.names}
    defined = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    exec(compile(ast.Module(list(defined), []), "wiring", "exec"), names)
    plan = names["selects_at"]
    # As if the first cycle selected, too: that gives the steps' order. Then as it is.
    for names["selects_at"] in (lambda *_: True, plan):
        recorder.cycles = 0
        names["wire"](RunSettings(), recorder)
    return list(recorder.called.values())


def _stand_in(module: str, name: str, recorder: Recorder) -> Any:
    """What the pipeline's module has under a name that it imports."""
    if name in recorder.outputs:
        return recorder.step(name)
    if module.startswith(("zenml", "ops", "pipelines")):
        return MagicMock(name=name)
    return getattr(import_module(module), name)


def _outputs_of_steps(root: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every ``@step`` of ``steps/`` with the names of its outputs, ``Annotated[…, "name"]``."""
    for path in sorted((root / "steps").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.returns is not None:
                names = re.findall(r", '(\w+)'\]", ast.unparse(node.returns))
                if any("step" in ast.unparse(each) for each in node.decorator_list):
                    yield node.name, tuple(names)
